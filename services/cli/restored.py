"""`packetboat restored`: the step between a restored backup and the start of the services."""

from __future__ import annotations

import asyncio
from pathlib import Path

import typer

from services.cli.context import DEFAULT_DATA, DataOption, database_of, settings_for
from services.cli.up import sole_owner
from shared.journal.reader import Reader
from shared.operations.restoration import Restored, after_restore


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("restored")(restored)


def restored(data: DataOption = DEFAULT_DATA) -> None:
    """After a restore, before the start: raise UIDs and mod-sequences, hold mail for other servers."""
    with sole_owner(data):
        done = asyncio.run(_restored(data))
    print("UIDs and mod-sequences are above all that clients can have seen")
    if done.held:
        print(
            f"{done.held} recipients elsewhere are held, for they may have been sent after the backup: see "
            "`packetboat queue list --state held`, then `queue release` or `queue drop`"
        )
    else:
        print("nothing was waiting for other servers")


async def _restored(data: Path) -> Restored:
    settings = settings_for(data)
    async with database_of(data) as database:
        return await after_restore(database, settings.journal, Reader(settings.journal))
