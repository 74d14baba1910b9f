"""`packetboat sieve check|test`: what is wrong with a script, and what it would do with a message and why.

The commands that keep scripts are in services/cli/scripts.py.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from services.cli import scripts
from shared.errors import ConfigurationError
from shared.message.header import find_header_end, parse_headers
from shared.message.lineends import to_crlf
from shared.message.text import printable
from shared.sieve import (
    Context,
    Envelope,
    Message,
    NamedLists,
    NamedMailboxes,
    Result,
    Script,
    ScriptError,
    check,
    compile_script,
    record_of,
    run,
)
from shared.sieve.context import Location
from shared.sieve.describe import describe, describe_edit
from shared.sieve.message import field_addresses

MAX_MESSAGE_BYTES = 256 * 1024 * 1024  # a message to try a script on is read into memory

ScriptArgument = Annotated[Path, typer.Argument(help="A file with a Sieve script.", exists=True, dir_okay=False)]
MessageArgument = Annotated[Path, typer.Argument(help="A file with a message.", exists=True, dir_okay=False)]


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="Sieve scripts: check them, try them on messages, keep them.", no_args_is_help=True)
    group.command("check")(check_script)
    group.command("test")(test_script)
    scripts.register(group)
    app.add_typer(group, name="sieve")


def check_script(
    script: ScriptArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array of line, column and message.")] = False,
) -> None:
    """Tell everything that is wrong with a script, one line each; exit status 1 if anything is."""
    errors = check(script.read_bytes())
    if as_json:
        found = [{"line": error.line, "column": error.column, "message": error.message} for error in errors]
        print(orjson.dumps(found).decode())
        raise typer.Exit(1 if errors else 0)
    for error in errors:
        print(f"{script}:{error.line}:{error.column}: {error.message}")
    if errors:
        raise typer.Exit(1)
    print(f"{script}: no errors")


def test_script(
    script: ScriptArgument,
    message: MessageArgument,
    sender: Annotated[str | None, typer.Option("--from", help="The envelope's sender; From by default.")] = None,
    recipient: Annotated[str | None, typer.Option("--to", help="The envelope's recipient; To by default.")] = None,
    mailbox: Annotated[list[str] | None, typer.Option(help="A mailbox that exists; repeatable.")] = None,
    environment: Annotated[list[str] | None, typer.Option("--env", help="An item as NAME=VALUE; repeatable.")] = None,
    spam: Annotated[float | None, typer.Option(min=0, max=100, help="How surely it is spam, in percent.")] = None,
    virus: Annotated[int | None, typer.Option(min=1, max=5, help="The scanner's verdict, 1 (none) to 5.")] = None,
    seen: Annotated[bool, typer.Option(help="Let the duplicate test find every message.")] = False,
    state: Annotated[
        Path | None,
        typer.Option(help="A JSON file: mailboxes, special_uses, ids, annotations, lists, seen.", dir_okay=False),
    ] = None,
    quiet: Annotated[bool, typer.Option(help="Print the actions only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as one JSON object.")] = False,
    output: Annotated[Path | None, typer.Option(help="Write the message as the script changed it.")] = None,
) -> None:
    """Print what a script would do with a message and why, test by test; nothing is delivered or sent.

    Scripts that it includes are looked for as NAME.sieve beside it. Exit status 1 for an error in the script.
    The state is `{"mailboxes": [NAME…], "special_uses": {USE: NAME}, "ids": {ID: NAME}, "annotations":
    [[NAME or null, ENTRY, VALUE]…], "lists": {NAME: [VALUE…]}, "seen": [KEY…]}`, all of it optional.
    """
    mail, given = _read(message), _state(state)
    result = _run(
        _compiled(script),
        Context(
            mail,
            Envelope(
                _first_address(mail, "from") if sender is None else sender,
                _first_address(mail, "to") if recipient is None else recipient,
            ),
            datetime.datetime.now().astimezone(),
            mailboxes=_mailboxes(given, mailbox or ()),
            seen=lambda key: seen or key in given.get("seen", ()),
            lists=NamedLists(given.get("lists", {})),
            load=_loader(script.parent),
            environment=dict(_item(text) for text in environment or ()),
            spam_percent=spam,
            virus=virus,
        ),
        quiet=quiet,
        as_json=as_json,
    )
    if output is not None:
        output.write_bytes(result.message.render())
    if result.error is not None:
        raise typer.Exit(1)


def _run(script: Script, context: Context, *, quiet: bool, as_json: bool) -> Result:
    result = run(script, context, traced=not quiet)
    if as_json:
        print(orjson.dumps(record_of(result)).decode())
        return result
    if not quiet:
        print(f"from <{context.envelope.sender}> to <{context.envelope.recipient}>")
        for event in result.trace:
            print(printable(str(event)))
        print("\nactions:")
    for action in result.actions:
        print(printable(f"  {describe(action)}"))
    for edit in result.message.edits:
        print(printable(f"  changed: {describe_edit(edit)}"))
    if result.error is not None:
        print(printable(f"error: {result.error}"))
    return result


def _state(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        state = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    if not isinstance(state, dict):
        raise ConfigurationError(f"{path} is no JSON object")
    return state


def _mailboxes(state: dict[str, Any], names: list[str] | tuple[str, ...]) -> NamedMailboxes:
    annotations = {(name, entry): value for name, entry, value in state.get("annotations", ())}
    every = [*names, *state.get("mailboxes", ())]
    return NamedMailboxes(every, annotations, state.get("special_uses", {}), state.get("ids", {}))


def _compiled(path: Path) -> Script:
    try:
        return compile_script(path.read_bytes())
    except ScriptError as error:
        for problem in error.errors:
            print(f"{path}:{problem.line}:{problem.column}: {problem.message}")
        raise typer.Exit(1) from None


def _read(path: Path) -> Message:
    if path.stat().st_size > MAX_MESSAGE_BYTES:
        raise ConfigurationError(f"{path} is larger than {MAX_MESSAGE_BYTES} octets")
    data = to_crlf(path.read_bytes())
    return Message(data, parse_headers(data[: find_header_end(data)]))


def _first_address(message: Message, name: str) -> str:
    assert message.headers is not None
    fields = field_addresses(message.headers, name)
    return next((entry.whole for field in fields for entry in field), "")


def _loader(folder: Path) -> Callable[[Location, str], Script | None]:
    def load(location: Location, name: str) -> Script | None:
        path = folder / f"{name}.sieve"
        return compile_script(path.read_bytes(), name=name) if path.is_file() else None

    return load


def _item(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigurationError(f"--env takes NAME=VALUE, not {text!r}")
    return name.lower(), value
