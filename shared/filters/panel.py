"""Several scanners asked at once, each with its deadline, its breaker and its policy for when it is down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import structlog

from shared.filters.breaker import Breaker, State
from shared.filters.clamav import Clamav
from shared.filters.command import Command
from shared.filters.configuration import (
    ClamavConfig,
    CommandConfig,
    MilterConfig,
    Place,
    RspamdConfig,
    ScannerConfig,
    SpamassassinConfig,
    WhenDown,
)
from shared.filters.failure import NotScanned, ScanFailed
from shared.filters.hostname import ClientNames
from shared.filters.parcel import Parcel
from shared.filters.scanner import Scanner
from shared.filters.spamassassin import SpamAssassin
from shared.message.verdict import Action, Verdict
from shared.metrics import SCANNER_BREAKER, SCANNER_OUTCOMES, SCANNER_SECONDS

UNAVAILABLE = "The message can't be checked now, try again later"

log = structlog.get_logger(__name__)

Asking = RspamdConfig | ClamavConfig | SpamassassinConfig | CommandConfig


@dataclass(slots=True)
class _Seat:
    """One scanner on the panel."""

    config: Asking
    scanner: Scanner
    breaker: Breaker
    slots: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self.slots = asyncio.Semaphore(self.config.connections)


class Panel:
    """All scanners of one place that look at whole messages."""

    def __init__(
        self,
        scanners: Iterable[tuple[Asking, Scanner]],
        names: ClientNames | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seats = [_Seat(config, scanner, Breaker(clock)) for config, scanner in scanners]
        self._names = names if any(isinstance(seat.config, RspamdConfig) for seat in self._seats) else None
        self._clock = clock

    def __len__(self) -> int:
        return len(self._seats)

    async def ask(self, parcel: Parcel) -> tuple[Verdict, ...]:
        """Return what each says, in the order of the file; a scanner that can't be asked has its policy's verdict."""
        asked = [seat for seat in self._seats if _concerns(seat.config, parcel)]
        if self._names is not None and parcel.ip and not parcel.hostname and asked:
            parcel = replace(parcel, hostname=await self._names.of(parcel.ip))
        if len(asked) == 1:
            return (await self._ask(asked[0], parcel),)
        return tuple(await asyncio.gather(*(self._ask(seat, parcel) for seat in asked)))

    async def close(self) -> None:
        """Give up connections."""
        for seat in self._seats:
            await seat.scanner.close()

    async def _ask(self, seat: _Seat, parcel: Parcel) -> Verdict:
        config = seat.config
        if config.max_size and parcel.size > config.max_size:
            return self._told(
                config, Verdict(config.name, kind=config.type, reason="too long to be scanned"), "skipped"
            )
        if not seat.breaker.allows():
            SCANNER_BREAKER.labels(config.name).set(seat.breaker.state)
            return self._told(config, down(config, "it keeps failing"), "down")
        began = self._clock()
        try:
            verdict = await self._in_time(seat, parcel)
        except NotScanned as reason:
            seat.breaker.succeeded()
            return self._told(config, Verdict(config.name, kind=config.type, reason=str(reason)), "skipped")
        except (ScanFailed, OSError) as failure:
            seat.breaker.failed()
            log.warning("scanner failed", scanner=config.name, entry=parcel.entry, error=str(failure))
            return self._told(config, down(config, str(failure)), "failed")
        except BaseException:
            seat.breaker.gave_up()
            raise
        finally:
            SCANNER_SECONDS.labels(config.name).observe(self._clock() - began)
            SCANNER_BREAKER.labels(config.name).set(seat.breaker.state)
        seat.breaker.succeeded()
        return self._told(config, replace(verdict, seconds=round(self._clock() - began, 4)), verdict.action.value)

    async def _in_time(self, seat: _Seat, parcel: Parcel) -> Verdict:
        try:
            async with asyncio.timeout(seat.config.timeout), seat.slots:
                return await seat.scanner.scan(parcel)
        except TimeoutError:
            raise ScanFailed(f"no answer within {seat.config.timeout} s") from None

    def _told(self, config: Asking, verdict: Verdict, outcome: str) -> Verdict:
        SCANNER_OUTCOMES.labels(config.name, outcome).inc()
        return verdict


def down(config: ScannerConfig, why: str) -> Verdict:
    """Return the verdict of a scanner that can't be asked: its policy."""
    match config.when_down:
        case WhenDown.SKIP:
            action = Action.NONE
        case WhenDown.TEMPFAIL:
            action = Action.TEMPFAIL
        case WhenDown.HOLD:
            action = Action.QUARANTINE
    return Verdict(config.name, action, kind=config.type, reason=f"{config.name} can't be asked: {why}", failed=True)


def make_panel(
    configs: Sequence[ScannerConfig], place: Place, hostname: str, names: ClientNames | None = None
) -> Panel:
    """Return a panel of those scanners of a place that look at whole messages; milters aren't among them."""
    chosen = [c for c in configs if c.at is place and not isinstance(c, MilterConfig)]
    return Panel([(config, make_scanner(config, hostname)) for config in chosen], names)


def make_scanner(config: Asking, hostname: str) -> Scanner:
    """Return the client that a configuration is for."""
    match config:
        case RspamdConfig():
            from shared.filters.rspamd import Rspamd  # with httpx, which nobody else needs

            return Rspamd(config, hostname)
        case ClamavConfig():
            return Clamav(config)
        case SpamassassinConfig():
            return SpamAssassin(config)
        case CommandConfig():
            return Command(config)


def _concerns(config: Asking, parcel: Parcel) -> bool:
    return not parcel.listener or parcel.listener in config.listeners


__all__ = ["UNAVAILABLE", "Panel", "State", "down", "make_panel", "make_scanner"]
