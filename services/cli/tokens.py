"""`packetboat token …`, `packetboat audit`: who may use the API, and who changed what."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
import typer

from services.cli.context import DEFAULT_DATA, DataOption
from services.cli.operator import UrlOption, perform
from services.cli.table import print_table
from shared.operations.tokens import DEFAULT_DAYS, NewToken, Scope
from shared.operations.trace import show_time

token_app = typer.Typer(help="Bearer tokens of the API.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(token_app, name="token")
    app.command("audit")(audit)


@token_app.command("add")
def token_add(
    name: str,
    scope: Annotated[list[str], typer.Option(help=f"One of {', '.join(Scope)}; may be repeated.")],
    domain: Annotated[
        list[str] | None, typer.Option(help="Only for this domain (its administrator); may be repeated.")
    ] = None,
    days: Annotated[float, typer.Option(help="It expires after so many.")] = DEFAULT_DAYS,
    data: DataOption = DEFAULT_DATA,
    url: UrlOption = "",
) -> None:
    """Make a token and print it: it can't be shown again."""
    new = NewToken(name, scope, domain or (), days)
    made = perform(data, url, lambda operator: operator.add_token(new))
    print(made["token"])


@token_app.command("list")
def token_list(data: DataOption = DEFAULT_DATA, url: UrlOption = "") -> None:
    """List the tokens, without their secrets."""
    rows = [
        [t["name"], _state(t), " ".join(t["scopes"]), " ".join(t["domains"]) or "all", _time(t["used_at"])]
        for t in perform(data, url, lambda operator: operator.tokens())
    ]
    print_table(("token", "state", "scopes", "domains", "last used"), rows) if rows else print("none")


@token_app.command("revoke")
def token_revoke(name: str, data: DataOption = DEFAULT_DATA, url: UrlOption = "") -> None:
    """End a token now."""
    perform(data, url, lambda operator: operator.revoke_token(name))
    print(f"revoked {name}")


def audit(
    data: DataOption = DEFAULT_DATA,
    url: UrlOption = "",
    target: Annotated[str, typer.Option("--object", help="Changes of this address, domain, entry or site.")] = "",
    actor: Annotated[str, typer.Option(help="Changes by token:NAME or cli:USER.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many, newest first.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Tell who changed what."""
    page = perform(data, url, lambda operator: operator.audit("", limit, target=target, who=actor))
    if as_json:
        for row in page.items:
            print(orjson.dumps(row).decode())
        return
    rows = [
        [_time(row["at"]), row["actor"], row["action"], row["object"], _change(row["before"], row["after"])]
        for row in page.items
    ]
    print_table(("at", "who", "what", "object", "change"), rows) if rows else print("none")


def _state(token: dict[str, Any]) -> str:
    return "revoked" if token["revoked_at"] else f"until {_time(token['expires_at'])}"


def _time(seconds: float | None) -> str:
    return show_time(int(seconds * 1e6))[:19] if seconds else "never"


def _change(before: Any, after: Any) -> str:
    """Tell what differs."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return f"{orjson.dumps(before).decode()} → {orjson.dumps(after).decode()}"
    names = [name for name in after if before.get(name) != after[name] and name != "version"]
    return ", ".join(f"{name}: {before.get(name)} → {after[name]}" for name in names) or "nothing that is shown"
