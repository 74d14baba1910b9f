"""`packetboat mta|relay|mda|access|admin`: one service, as a container runs it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from services.cli.context import DEFAULT_DATA, DataOption

SERVICES = ("mta", "relay", "mda", "access", "admin")


def register(app: typer.Typer) -> None:
    """Add one command for each service."""
    for service in SERVICES:
        app.command(service, help=f"Run the {service} service in the foreground.")(_command(service))


def _command(service: str):  # type: ignore[no-untyped-def]
    def run(
        data: DataOption = DEFAULT_DATA,
        workers: Annotated[int | None, typer.Option(help="Worker processes.")] = None,
    ) -> None:
        environment = dict(os.environ, PACKETBOAT_DATA=str(Path(data).absolute()))
        if workers is not None:
            environment["PACKETBOAT_WORKERS"] = str(workers)
        os.execve(sys.executable, [sys.executable, "-m", f"services.{service}"], environment)  # noqa: S606

    return run
