"""`packetboat trace …`: a message's timeline, from the ledger, the queue, the journal and refused mail."""

from __future__ import annotations

from typing import Annotated

import orjson
import typer

from services.cli.context import DEFAULT_DATA, DataOption
from services.cli.operator import UrlOption, perform
from shared.operations.trace import DEFAULT_EVENTS, line_of


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("trace")(trace)


def trace(
    what: Annotated[str, typer.Argument(help="An entry id, a Message-ID or an address.", metavar="ADDRESS-OR-ID")],
    data: DataOption = DEFAULT_DATA,
    url: UrlOption = "",
    limit: Annotated[
        int, typer.Option(min=1, max=10_000, help="At most so many outcomes, newest first.")
    ] = DEFAULT_EVENTS,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Tell what became of a message: accepted or refused, each attempt, delivered, bounced, and its children."""
    events = perform(data, url, lambda operator: operator.trace(what, limit))
    if not events:
        print(f"nothing is known of {what}")
        raise typer.Exit(1)
    for event in events:
        print(orjson.dumps(event).decode() if as_json else line_of(event))
