"""`packetboat secrets` and `packetboat init`: what a stack of containers needs before its services start."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from services.cli.certificate import ensure_certificate
from services.cli.context import DEFAULT_DATA, DEMO_DOMAIN, DataOption, settings_for
from services.cli.up import prepare_database
from shared.config import CommonSettings
from shared.durable import write_file

SECRETS = ("postgres", "redis")
PASSWORD_OCTETS = 24  # of randomness
READABLE = 0o444  # each server has a user of its own, and sees only its own folder


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("secrets")(make_secrets)
    app.command("init")(init)


def make_secrets(
    folder: Annotated[Path, typer.Argument(help="Gets a folder for each server; what is there is kept.")],
) -> None:
    """Make the passwords of PostgreSQL and Redis, unless there are any."""
    for server in SECRETS:
        place = folder / server
        place.mkdir(parents=True, exist_ok=True)
        if not (place / "password").exists():
            write_file(place / "password", secrets.token_urlsafe(PASSWORD_OCTETS) + "\n", READABLE)
            print(f"made the password of {server}")
    password = (folder / "redis" / "password").read_text(encoding="ascii").strip()
    write_file(folder / "redis" / "redis.conf", f"requirepass {password}\n", READABLE)


def init(data: DataOption = DEFAULT_DATA) -> None:
    """Make the certificate, the schema and the demo accounts, unless they are there; then exit."""
    asyncio.run(_init(settings_for(data)))


async def _init(settings: CommonSettings) -> None:
    console = Console(highlight=False, soft_wrap=True)
    if ensure_certificate(settings.certificate, settings.key, [settings.name, "localhost", DEMO_DOMAIN], ["127.0.0.1"]):
        console.print(f"made a self-signed certificate: {settings.certificate}")
    settings.journal.mkdir(parents=True, exist_ok=True)
    accounts = await prepare_database(settings, console)
    for address, password in accounts.items():
        console.print(f"account {address}  password {password}")
    console.print("the stack is prepared")
