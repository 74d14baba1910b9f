"""What commands share: the data folder option, the database and Redis of a stack."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

import typer

from shared.config import CommonSettings, load_settings
from shared.db import Database, connect
from shared.errors import ConfigurationError

DataOption = Annotated[
    Path, typer.Option("--data", help="The stack's data folder.", envvar="PACKETBOAT_DATA", show_default=True)
]
DEFAULT_DATA = Path("data")


def settings_for(data: Path) -> CommonSettings:
    """Read the common settings of a stack."""
    return load_settings(CommonSettings, data=data)


@contextlib.asynccontextmanager
async def database_of(data: Path) -> AsyncIterator[Database]:
    """Open a stack's database, whether the stack runs or not."""
    settings = settings_for(data)
    if not settings.database_url and not (data / "packetboat.db").exists():
        raise ConfigurationError(f"there is no stack in {data}: start one with `packetboat up --data {data}`")
    database = await connect(settings.sql, migrate=True)
    try:
        yield database
    finally:
        await database.close()
