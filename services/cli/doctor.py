"""`packetboat doctor`: looks at everything a stack stands on, one line each with what to do."""

from __future__ import annotations

import asyncio
import datetime
import os
import shutil
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import typer
from cryptography import x509
from rich.console import Console
from rich.markup import escape

from services.cli.context import DEFAULT_DATA, DataOption, PortBaseOption, settings_with_ports
from services.cli.up import HEALTH_PORTS, STANDARD_PORTS
from shared.config import CommonSettings
from shared.db import Query, Work, connect
from shared.errors import PacketboatError
from shared.filters.configuration import CommandConfig, RspamdConfig, ScannerConfig, load_scanners
from shared.filters.endpoint import Endpoint
from shared.filters.failure import ScanFailed

SLOW_FSYNC = 0.05  # seconds
CERTIFICATE_WARNING = 14  # days before its end
FSYNC_ROUNDS = 20
SCANNER_TIMEOUT = 5.0  # seconds

_count = Query("doctor_domains", "SELECT count(*) AS n FROM domain")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: `advice` is empty when all is well."""

    what: str
    said: str
    advice: str = ""


Check = Callable[[CommonSettings], Awaitable[Finding]]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(data: DataOption = DEFAULT_DATA, port_base: PortBaseOption = None) -> None:
    """Check volume, fsync, SQL, Redis, DNS, certificate, ports and scanners; exit 1 if something is wrong."""
    settings = settings_with_ports(data, port_base)
    findings = asyncio.run(_examine(settings))
    console = Console(highlight=False, soft_wrap=True)
    for finding in findings:
        mark = "[red]wrong[/red]" if finding.advice else "[green]ok[/green]   "
        console.print(f"{mark} {finding.what}: {escape(finding.said)}")
        if finding.advice:
            console.print(f"      → {escape(finding.advice)}")
    if any(finding.advice for finding in findings):
        raise typer.Exit(1)


async def _examine(settings: CommonSettings) -> list[Finding]:
    checks: list[Check] = [_volume, _fsync, _sql, _redis, _dns, _certificate, _ports]
    return [await check(settings) for check in checks] + await _scanners(settings)


async def _scanners(settings: CommonSettings) -> list[Finding]:
    """One finding for each scanner: whether it can be reached from here."""
    return [await _scanner(config) for config in load_scanners(settings.scanner_file)]


async def _scanner(config: ScannerConfig) -> Finding:
    what, advice = (
        f"scanner {config.name}",
        f"start it, or correct its table; while it is down: {config.when_down.value}",
    )
    match config:
        case CommandConfig():
            found = shutil.which(config.command[0]) is not None
            return Finding(what, config.command[0], "" if found else f"there is no such program; {advice}")
        case RspamdConfig():
            parts = urlsplit(config.url)
            endpoint = Endpoint(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
        case _:
            endpoint = Endpoint.parse(config.address)
    try:
        async with asyncio.timeout(SCANNER_TIMEOUT):
            _, writer = await endpoint.connect()
        writer.close()
    except (ScanFailed, TimeoutError) as error:
        return Finding(what, str(error) or f"{endpoint}: no connection within {SCANNER_TIMEOUT:g} s", advice)
    return Finding(what, f"{endpoint}, at the {config.at.value}")


async def _volume(settings: CommonSettings) -> Finding:
    if not settings.data.is_dir():
        return Finding("volume", f"{settings.data} is missing", f"run `packetboat up --data {settings.data}`")
    if not os.access(settings.data, os.W_OK):
        return Finding("volume", f"{settings.data} can't be written", "give its owner to the user that runs the stack")
    free = shutil.disk_usage(settings.data).free
    said = f"{settings.data}, {free / 2**30:.1f} GiB free"
    if free < settings.reserve_bytes:
        return Finding("volume", said, "free some space: below the reserve new mail gets 452")
    return Finding("volume", said)


async def _fsync(settings: CommonSettings) -> Finding:
    if not settings.data.is_dir() or not os.access(settings.data, os.W_OK):
        return Finding("fsync", "not tried")
    seconds = await asyncio.to_thread(_time_fsync, settings.data)
    said = f"{1000 * seconds:.1f} ms, {1 / seconds:.0f}/s"
    if seconds > SLOW_FSYNC:
        return Finding("fsync", said, "the disk is slow: each 250 waits for it; use a faster volume")
    return Finding("fsync", said)


def _time_fsync(folder: Path) -> float:
    path = folder / f".doctor-{os.getpid()}"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        began = time.perf_counter()
        for _ in range(FSYNC_ROUNDS):
            os.write(descriptor, b"x" * 4096)
            os.fdatasync(descriptor)
        return (time.perf_counter() - began) / FSYNC_ROUNDS
    finally:
        os.close(descriptor)
        path.unlink()


async def _sql(settings: CommonSettings) -> Finding:
    where = settings.sql.partition("@")[2] or settings.sql  # never show a password

    def count() -> Work[int]:
        rows = yield _count()
        return int(rows[0]["n"])

    try:
        database = await connect(settings.sql)
        try:
            domains = await database.read(count)
        finally:
            await database.close()
    except PacketboatError as error:
        return Finding("SQL", f"{where}: {error}", "start the database, or correct PACKETBOAT_DATABASE_URL")
    if not domains:
        return Finding("SQL", f"{where}: no domain yet", "packetboat domain add NAME")
    return Finding("SQL", f"{where}, {domains} domain{'' if domains == 1 else 's'}")


async def _redis(settings: CommonSettings) -> Finding:
    from redis.asyncio import Redis
    from redis.exceptions import RedisError

    client = Redis.from_url(settings.redis, socket_timeout=5)
    where = settings.redis.rpartition("@")[2]
    try:
        began = time.perf_counter()
        await client.ping()
        milliseconds = 1000 * (time.perf_counter() - began)
        policy = (await client.config_get("maxmemory-policy")).get("maxmemory-policy")
    except (RedisError, OSError) as error:
        return Finding(
            "Redis", f"{where}: {error}", "start the stack (or Redis): mail is accepted without, not delivered"
        )
    finally:
        await client.aclose()
    if policy != "noeviction":
        return Finding("Redis", f"{where}: maxmemory-policy is {policy}", "set it to noeviction")
    return Finding("Redis", f"{where}, {milliseconds:.1f} ms")


async def _dns(settings: CommonSettings) -> Finding:
    import dns.asyncresolver
    import dns.exception
    import dns.resolver

    try:
        resolver = dns.asyncresolver.Resolver(configure=not settings.resolver)
        if settings.resolver:
            host, _, port = settings.resolver.rpartition(":")
            resolver.nameservers, resolver.port = [host.strip("[]")], int(port)
        resolver.lifetime = 5
        where = settings.resolver or ", ".join(str(server) for server in resolver.nameservers)
        await resolver.resolve(".", "NS")
    except (dns.resolver.NoAnswer, dns.resolver.NXDOMAIN):
        return Finding("DNS", f"{where} answers")
    except (dns.exception.DNSException, OSError, ValueError) as error:
        return Finding("DNS", str(error), "mail for other servers waits until a resolver answers: see --resolver")
    return Finding("DNS", f"{where} answers")


async def _certificate(settings: CommonSettings) -> Finding:
    path = settings.certificate
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        return Finding("certificate", f"{path}: {error}", "put a PEM chain there, or run `packetboat up` once")
    left = (certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)).days
    said = f"{path}, {left} days left"
    if certificate.issuer == certificate.subject:
        said += ", self-signed"
    if left < CERTIFICATE_WARNING:
        return Finding("certificate", said, "renew it; a running stack takes the new file by itself")
    return Finding("certificate", said)


async def _ports(settings: CommonSettings) -> Finding:
    running = (settings.data / "run" / "processes.json").exists()
    ports = [p for group in STANDARD_PORTS.values() for p in group.values()]
    doors = {port + settings.port_base: settings.listen[0] for port in ports}
    for port in (*HEALTH_PORTS.values(), *STANDARD_PORTS["admin"].values()):
        doors[port + settings.port_base] = settings.loopback[0]
    numbers = list(doors)
    used = {number for number, address in doors.items() if _answers(address, number)}
    if running and (silent := sorted(set(numbers) - used)):
        return Finding(
            "ports", f"nothing answers on {_list(silent)}", "see the logs of the services, and `--port-base`"
        )
    if not running and used:
        return Finding("ports", f"in use by something else: {_list(sorted(used))}", "choose another --port-base")
    return Finding("ports", f"{len(used)} answer" if running else "free")


def _answers(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


def _list(numbers: list[int]) -> str:
    return ", ".join(str(number) for number in numbers)
