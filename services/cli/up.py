"""`packetboat up`: the whole stack on one machine, with an embedded Valkey and SQLite."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from services.cli.certificate import ensure_certificate
from services.cli.context import DEFAULT_DATA, DEMO_DOMAIN, DataOption, note_start, settings_of_up
from services.cli.services import SERVICES
from services.cli.supervisor import Process, Supervisor
from services.cli.valkey import valkey_process
from shared.config import CommonSettings
from shared.db import Database, Rows, Work, connect, load
from shared.directory import admin, salts
from shared.directory.passwords import hash_password, new_password, verify_password
from shared.durable import write_file
from shared.errors import ConfigurationError
from shared.filters.configuration import load_scanners

DEMO_ACCOUNTS = ("alice", "bob")
DEMO_FILE = "demo-accounts.txt"
STANDARD_PORTS = {  # service → listener → port
    "mta": {"SMTP (MX)": 25, "submission (STARTTLS)": 587, "submission (TLS)": 465, "LMTP": 24},
    "access": {
        "IMAP (STARTTLS)": 143, "IMAP (TLS)": 993, "POP3 (STARTTLS)": 110, "POP3 (TLS)": 995, "ManageSieve": 4190,
    },
    "admin": {"API (/openapi.json)": 8080},
}  # fmt: skip
HEALTH_PORTS = {"mta": 8081, "relay": 8082, "mda": 8083, "access": 8084, "admin": 8085}

sql = load("directory")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("up")(up)


def up(
    data: DataOption = DEFAULT_DATA,
    port_base: Annotated[
        int | None, typer.Option(help="Added to each standard port: 10000, the default, makes 25 10025.")
    ] = None,
    listen: Annotated[
        list[str] | None, typer.Option(help="Address to listen on, IPv4 or IPv6; may be repeated.")
    ] = None,
    resolver: Annotated[
        str | None, typer.Option(help="ADDR:PORT of the DNS resolver; the system's by default.")
    ] = None,
    relay_port: Annotated[
        int | None, typer.Option(help="Port that mail for other servers is sent to; 25 by default.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Worker processes of each service; 1 by default.")
    ] = None,
    allow_plaintext_auth: Annotated[
        bool, typer.Option("--allow-plaintext-auth", help="Passwords without TLS, on loopback only (for tools).")
    ] = False,
) -> None:
    """Start mta, relay, mda, access and admin with an embedded Valkey and SQLite; Ctrl-C drains and stops.

    Options count before the environment (PACKETBOAT_…), that before DATA/packetboat.toml.
    """
    given = {
        "port_base": port_base,
        "listen": json.dumps(listen) if listen else None,
        "resolver": resolver,
        "relay_port": relay_port,
        "workers": workers,
        "allow_plaintext_auth": "true" if allow_plaintext_auth else None,
    }
    settings = settings_of_up(data, {name: str(value) for name, value in given.items() if value is not None})
    load_scanners(settings.scanner_file)
    with sole_owner(data):
        note_start(data)
        raise typer.Exit(asyncio.run(_run(settings)))


async def _run(settings: CommonSettings) -> int:
    console = Console(highlight=False, soft_wrap=True)
    names = [settings.name, "localhost", DEMO_DOMAIN]
    if ensure_certificate(settings.certificate, settings.key, names, settings.listen):
        console.print(f"made a self-signed certificate: {settings.certificate}")
    if settings.tls_sni is None:
        # only a folder that is there at the start is watched
        (settings.data / "tls" / "sni").mkdir(parents=True, exist_ok=True)
    accounts = await prepare_database(settings, console)
    services = _chosen_services()
    processes = [] if settings.redis_url else [valkey_process(settings.data)]
    processes += [_service_process(service, settings) for service in services]
    supervisor = Supervisor(settings.data, processes, settings.grace_period + 10)
    return await supervisor.run(lambda: _print_table(console, settings, services, accounts))


def _chosen_services() -> list[str]:
    """Return the services to start: all, or those that PACKETBOAT_UP_SERVICES names (for benchmarks)."""
    named = os.environ.get("PACKETBOAT_UP_SERVICES", "")
    chosen = [name.strip() for name in named.split(",") if name.strip()] or list(SERVICES)
    unknown = [name for name in chosen if name not in SERVICES]
    if unknown:
        raise ConfigurationError(f"PACKETBOAT_UP_SERVICES: there is no service {unknown[0]}; use {', '.join(SERVICES)}")
    return chosen


def _service_process(service: str, settings: CommonSettings) -> Process:
    port = HEALTH_PORTS[service] + settings.port_base
    address = settings.loopback[0]  # figures aren't for everybody
    health = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    return Process.service(service, {"PACKETBOAT_HEALTH_LISTEN": health, "PYTHONUNBUFFERED": "1"}, (address, port))


async def prepare_database(settings: CommonSettings, console: Console) -> dict[str, str]:
    """Bring the schema up to date; a database without a domain gets the demo accounts.

    Return the passwords of demo accounts that are as they were made.
    """
    database = await connect(settings.sql, migrate=True)
    try:
        if not await database.read(admin.list_domains):
            await _create_demo(database, settings.data, console)
        demo = demo_accounts(settings.data)
        return {address: demo[address] for address in demo if await _is_as_made(database, address, demo[address])}
    finally:
        await database.close()


async def _is_as_made(database: Database, address: str, password: str) -> bool:
    """Whether an account was neither removed nor disabled nor given another password."""

    def credentials() -> Work[Rows]:
        rows = yield sql.credentials(address=address)
        return rows

    stored = [row["hash"] for row in await database.read(credentials) if row["enabled"]]
    return any([await asyncio.to_thread(verify_password, one, password) for one in stored])


async def _create_demo(database: Database, data: Path, console: Console) -> None:
    accounts = {f"{name}@{DEMO_DOMAIN}": new_password() for name in DEMO_ACCOUNTS}
    write_file(data / DEMO_FILE, "".join(f"{address} {password}\n" for address, password in accounts.items()), 0o600)
    secret = await database.write(salts.secret, os.urandom(32))
    hashes = {name: hash_password(password, salts.salt_of(secret, name)) for name, password in accounts.items()}
    await database.write(_demo_rows, hashes, time.time_ns() // 1000)
    console.print(f"created {DEMO_DOMAIN} with {len(accounts)} accounts: passwords in {data / DEMO_FILE}")


def _demo_rows(hashes: dict[str, str], now: int) -> Work[None]:
    yield from admin.add_domain(DEMO_DOMAIN, now)
    for address, password_hash in hashes.items():
        yield from admin.add_account(address, password_hash, now)


def demo_accounts(data: Path) -> dict[str, str]:
    """Return the demo accounts' passwords; an empty dict where there are none."""
    path = data / DEMO_FILE
    if not path.exists():
        return {}
    return dict(line.split(" ", 1) for line in path.read_text(encoding="utf-8").splitlines() if " " in line)


def _print_table(console: Console, settings: CommonSettings, services: list[str], accounts: Mapping[str, str]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("service")
    table.add_column("listens on")
    for service in services:
        for listener, port in STANDARD_PORTS.get(service, {}).items():
            addresses = settings.loopback if service == "admin" else settings.listen
            where = "  ".join(_place(address, port + settings.port_base) for address in addresses)
            table.add_row(f"{service}: {listener}", where)
    console.print(table)
    for address, password in accounts.items():
        console.print(f"account {address}  password {password}")
    console.print(f"logs in {settings.data / 'log'}; Ctrl-C stops")
    print("ready", flush=True)


def _place(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


class sole_owner:
    """Hold the data folder itself locked, so that two stacks can't run on one (no lock file is left)."""

    def __init__(self, data: Path) -> None:
        self._data = data

    def __enter__(self) -> None:
        self._data.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self._data, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(f"a stack is running on {self._data} already: stop it first") from None

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
