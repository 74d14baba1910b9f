"""What commands share: the data folder option, the database and Redis of a stack."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from shared.config import CommonSettings, load_settings
from shared.db import Database, connect
from shared.durable import write_file
from shared.errors import ConfigurationError

DataOption = Annotated[
    Path, typer.Option("--data", help="The stack's data folder.", envvar="PACKETBOAT_DATA", show_default=True)
]
PortBaseOption = Annotated[
    int | None, typer.Option("--port-base", help="Added to standard ports; that of the stack's last start by default.")
]
DEFAULT_DATA = Path("data")
DEFAULT_PORT_BASE = 10000
DEMO_DOMAIN = "packetboat.test"
UP_DEFAULTS = {"port_base": str(DEFAULT_PORT_BASE), "hostname": f"mail.{DEMO_DOMAIN}"}  # where nothing else is said
NOTED = ("port_base", "listen", "resolver", "relay_port", "workers", "allow_plaintext_auth", "hostname")
_STARTED = Path("run") / "stack.json"


def settings_of_up(data: Path, given: Mapping[str, str]) -> CommonSettings:
    """Read the settings of a stack that starts: options, else the environment, the file, the defaults of `up`.

    What is `given` (option → value) and those defaults go into the environment, for the services.
    """
    os.environ["PACKETBOAT_DATA"] = str(data.absolute())
    os.environ.update({_variable(name): value for name, value in given.items()})
    return _with_defaults(data)


def settings_with_ports(data: Path, port_base: int | None) -> CommonSettings:
    """Read the settings of a stack whose ports matter, by its option or with the default that `up` has."""
    if port_base is not None:
        os.environ[_variable("port_base")] = str(port_base)
    _recall(data)
    return _with_defaults(data)


def settings_for(data: Path) -> CommonSettings:
    """Read the common settings of a stack: from the environment, else as `up` last had them, else from its file."""
    _recall(data)
    return load_settings(CommonSettings, data=data)


def note_start(data: Path) -> None:
    """Keep what `up` was given, for the commands that look at the stack."""
    names = [variable for variable in map(_variable, NOTED) if variable in os.environ]
    path = data / _STARTED
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, json.dumps({name: os.environ[name] for name in names}, indent=1))


def _recall(data: Path) -> None:
    os.environ["PACKETBOAT_DATA"] = str(data.absolute())
    path = data / _STARTED
    if not path.exists() or not (text := path.read_text(encoding="utf-8")):  # a power cut emptied it
        return
    try:
        started = json.loads(text)
    except ValueError:
        raise ConfigurationError(f"{path} is damaged: remove it, the next `packetboat up` writes it anew") from None
    for name, value in started.items():
        os.environ.setdefault(name, value)


def _with_defaults(data: Path) -> CommonSettings:
    settings = load_settings(CommonSettings, data=data)
    unsaid = {name: value for name, value in UP_DEFAULTS.items() if name not in settings.model_fields_set}
    os.environ.update({_variable(name): value for name, value in unsaid.items()})
    return load_settings(CommonSettings, data=data)


def _variable(name: str) -> str:
    return f"PACKETBOAT_{name.upper()}"


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
