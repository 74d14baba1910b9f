"""What commands share: the data folder option, the database and Redis of a stack."""

from __future__ import annotations

import contextlib
import json
import os
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
PortBaseOption = Annotated[
    int | None, typer.Option("--port-base", help="Added to standard ports; that of the stack's last start by default.")
]
DEFAULT_DATA = Path("data")
DEFAULT_PORT_BASE = 10000
_STARTED = Path("run") / "stack.json"


def settings_with_ports(data: Path, port_base: int | None) -> CommonSettings:
    """Read the settings of a stack whose ports matter, by its option or with the default that `up` has."""
    if port_base is not None:
        os.environ["PACKETBOAT_PORT_BASE"] = str(port_base)
    elif not (data / _STARTED).exists():
        os.environ.setdefault("PACKETBOAT_PORT_BASE", str(DEFAULT_PORT_BASE))
    return settings_for(data)


def settings_for(data: Path) -> CommonSettings:
    """Read the common settings of a stack: from the environment, else as `up` was last given them."""
    path = data / _STARTED
    if path.exists():
        for name, value in json.loads(path.read_text(encoding="utf-8")).items():
            os.environ.setdefault(name, value)
    return load_settings(CommonSettings, data=data)


def note_start(data: Path, environment: dict[str, str]) -> None:
    """Keep what `up` was given, for the commands that look at the stack."""
    path = data / _STARTED
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(environment, indent=1), encoding="utf-8")
    temporary.replace(path)


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
