"""`packetboat queue …`: what waits, why, and what to do about it; on a running or a stopped stack, or with --url."""

from __future__ import annotations

import datetime
import time
from typing import Annotated, Any

import orjson
import typer

from services.cli import top
from services.cli.context import DEFAULT_DATA, DataOption
from services.cli.operator import UrlOption, everything, perform
from services.cli.table import print_table
from shared.errors import ConfigurationError
from shared.operations.queue import Selection, entry_id
from shared.operations.trace import line_of
from shared.operations.waiting import Wanted

queue_app = typer.Typer(help="Mail that is not finished yet.", no_args_is_help=True)

Entries = Annotated[list[str] | None, typer.Argument(help="Entry ids, or `all`.")]
State = Annotated[str, typer.Option(help="queued, waiting or held.")]
Site = Annotated[str, typer.Option(help="Those for this receiving site.")]
Sender = Annotated[str, typer.Option("--from", help="Those from this address or @domain.")]
Recipient = Annotated[str, typer.Option("--to", help="Those to this address or @domain.")]
Reason = Annotated[str, typer.Option(help="Those whose reason has this in it.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(queue_app, name="queue")
    queue_app.command("top")(top.queue_top)


@queue_app.command("list")
def queue_list(
    data: DataOption = DEFAULT_DATA,
    url: UrlOption = "",
    state: State = "",
    site: Site = "",
    sender: Sender = "",
    recipient: Recipient = "",
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """List every recipient that waits: for a worker, for its next attempt, or for you."""
    wanted = Wanted(state, "", site, sender, recipient, reason)
    waiting = perform(data, url, lambda one: everything(lambda cursor, limit: one.waiting(wanted, cursor, limit)))
    waiting.sort(key=lambda item: (item["entry"], item["recipient"]))
    if as_json:
        for item in waiting:
            print(orjson.dumps(item).decode())
        return
    if not waiting:
        print("the queue is empty" if wanted == Wanted() else "nothing like that waits")
        return
    columns = ("entry", "since", "from", "to", "state", "tries", "next", "reason")
    print_table(columns, map(_row, waiting))


@queue_app.command("show")
def queue_show(entry: str, data: DataOption = DEFAULT_DATA, url: UrlOption = "", as_json: AsJson = False) -> None:
    """Show an entry that waits: envelope, attempts, the message's header."""
    entry = entry_id(entry)
    view = perform(data, url, lambda operator: operator.show(entry))
    print(orjson.dumps(view).decode()) if as_json else _print_entry(view)


@queue_app.command("retry")
def queue_retry(
    entries: Entries = None,
    data: DataOption = DEFAULT_DATA,
    url: UrlOption = "",
    state: State = "",
    site: Site = "",
    sender: Sender = "",
    recipient: Recipient = "",
    reason: Reason = "",
) -> None:
    """Make the next attempt now; what is held is released."""
    selection = _selection(entries, Wanted(state, "", site, sender, recipient, reason))
    count = perform(data, url, lambda operator: operator.retry(selection))
    print("1 recipient is due now" if count == 1 else f"{count} recipients are due now")


@queue_app.command("hold")
def queue_hold(
    entries: Entries = None,
    data: DataOption = DEFAULT_DATA,
    url: UrlOption = "",
    site: Site = "",
    sender: Sender = "",
    recipient: Recipient = "",
    reason: Reason = "",
) -> None:
    """Keep mail until it is released."""
    selection = _selection(entries, Wanted("", "", site, sender, recipient, reason))
    print(f"held {_recipients(perform(data, url, lambda operator: operator.hold(selection)))}")


@queue_app.command("release")
def queue_release(
    entries: Entries = None,
    data: DataOption = DEFAULT_DATA,
    url: UrlOption = "",
    site: Site = "",
    sender: Sender = "",
    recipient: Recipient = "",
    reason: Reason = "",
) -> None:
    """Let held mail go on."""
    selection = _selection(entries, Wanted("", "", site, sender, recipient, reason))
    print(f"released {_recipients(perform(data, url, lambda operator: operator.release(selection)))}")


@queue_app.command("drop")
def queue_drop(
    entries: Entries = None,
    data: DataOption = DEFAULT_DATA,
    url: UrlOption = "",
    state: State = "",
    site: Site = "",
    sender: Sender = "",
    recipient: Recipient = "",
    reason: Reason = "",
    bounce: Annotated[bool, typer.Option("--bounce", help="Tell the senders.")] = False,
) -> None:
    """Give up on waiting mail, with a bounce or without; the ledger says so."""
    selection = _selection(entries, Wanted(state, "", site, sender, recipient, reason))
    count = perform(data, url, lambda operator: operator.drop(selection, bounce=bounce), bounces=bounce)
    print(f"{'bounced' if bounce else 'dropped'} {_recipients(count)}")


@queue_app.command("stats")
def queue_stats(data: DataOption = DEFAULT_DATA, url: UrlOption = "", as_json: AsJson = False) -> None:
    """Count what waits: by lane, by site, by reason."""
    view = perform(data, url, lambda operator: operator.statistics())
    if as_json:
        print(orjson.dumps(view).decode())
        return
    columns = ("lane", "queued", "leased", "waiting", "held", "oldest")
    print_table(columns, [[*(_number(lane[name]) for name in columns[:-1]), _age(lane)] for lane in view["lanes"]])
    for name in ("site", "reason"):
        if view[f"{name}s"]:
            print()
            rows = [[str(one["recipients"]), _age(one), one[name]] for one in view[f"{name}s"]]
            print_table(("recipients", "oldest", name), rows)


@queue_app.command("sites")
def queue_sites(data: DataOption = DEFAULT_DATA, url: UrlOption = "", as_json: AsJson = False) -> None:
    """List the receiving sites that have work, workers or a throttle."""
    sites = perform(data, url, lambda operator: operator.sites())
    if as_json:
        for site in sites:
            print(orjson.dumps(site).decode())
        return
    columns = ("site", "entries", "connections", "state")
    rows = [
        [one["site"], str(one["entries"]), f"{one['connections']}/{one['max_connections']}", _site_state(one)]
        for one in sites
    ]
    print_table(columns, rows) if rows else print("none")


@queue_app.command("pause")
def queue_pause(site: str, data: DataOption = DEFAULT_DATA, url: UrlOption = "") -> None:
    """Send nothing to a site until it is resumed."""
    perform(data, url, lambda operator: operator.throttle(site, paused=True))
    print(f"paused {site}")


@queue_app.command("resume")
def queue_resume(site: str, data: DataOption = DEFAULT_DATA, url: UrlOption = "") -> None:
    """Send to a site again."""
    perform(data, url, lambda operator: operator.throttle(site, paused=False))
    print(f"resumed {site}")


@queue_app.command("limit")
def queue_limit(
    site: str,
    connections: Annotated[int, typer.Argument(help="At once, of all relays; 0: the relay's setting.")],
    data: DataOption = DEFAULT_DATA,
    url: UrlOption = "",
) -> None:
    """Say how many connections a site may have."""
    perform(data, url, lambda operator: operator.throttle(site, connections=connections))
    print(f"{site}: {connections or 'as many'} connections{'' if connections else ' as the relay is set to'}")


@queue_app.command("workers")
def queue_workers(data: DataOption = DEFAULT_DATA, url: UrlOption = "", as_json: AsJson = False) -> None:
    """List who works on the queue, and how much they lease."""
    workers = perform(data, url, lambda operator: operator.workers())
    if as_json:
        for worker in workers:
            print(orjson.dumps(worker).decode())
        return
    rows = [[w["lane"], w["name"], "alive" if w["alive"] else "gone", str(w["leases"])] for w in workers]
    print_table(("lane", "worker", "state", "leases"), rows) if rows else print("none")


def _selection(entries: list[str] | None, wanted: Wanted) -> Selection:
    if entries and wanted != Wanted():
        raise ConfigurationError("name entries or say which, not both")
    if entries == ["all"]:
        return Selection()
    if not entries and wanted == Wanted():
        raise ConfigurationError("name entries, or `all`, or say which (--site, --from, --to, --reason)")
    return Selection.of_entries(entries) if entries else Selection(wanted)


def _row(item: dict[str, Any]) -> tuple[str, ...]:
    since, tries, sender = _span(time.time() - item["since"]), str(item["attempts"]), item["sender"] or "<>"
    return (item["entry"], since, sender, item["recipient"], item["state"], tries, _due(item), item["reason"])


def _print_entry(view: dict[str, Any]) -> None:
    origin = view["origin"]
    accepted = datetime.datetime.fromtimestamp(view["received_at"], tz=datetime.UTC)
    moment = accepted.isoformat(sep=" ", timespec="seconds")
    print(f"entry     {view['entry']} ({view['kind']}), {view['size']} octets in {view['segment']}")
    print(f"accepted  {moment} from {origin.get('ip', 'ourselves')} {origin.get('protocol', '')}")
    print(f"from      <{view['sender']}>")
    for recipient in view["recipients"]:
        print(f"to        <{recipient['address']}> by {recipient['lane']}")
    for item in view["waiting"]:
        print(f"{item['state']}: {item['recipient']} {_due(item)} after {item['attempts']} attempts {item['reason']}")
    for attempt in view["attempts"]:
        print(line_of({**attempt, "at": int(attempt["at"] * 1e6), "entry": view["entry"], "what": "attempt"}))
    print("\n" + view["header"])


def _recipients(count: int) -> str:
    return f"{count} recipient{'' if count == 1 else 's'}"


def _number(value: Any) -> str:
    return "?" if value is None else str(value)


def _age(group: dict[str, Any]) -> str:
    return _span(group["oldest_age"]) if group["oldest_age"] else ""


def _span(seconds: float) -> str:
    seconds = max(0.0, seconds)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"


def _due(item: dict[str, Any]) -> str:
    if item["state"] != "waiting":
        return ""
    left = item["due"] - time.time()
    return "now" if left <= 0 else f"in {left:.0f}s" if left < 120 else f"in {left / 60:.0f}m"


def _site_state(site: dict[str, Any]) -> str:
    if site["paused"]:
        return "paused"
    left = site["backing_off_until"] - time.time()
    return f"backing off for {_span(left)}" if left > 0 else "active"
