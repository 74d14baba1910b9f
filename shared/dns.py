"""DNS look-ups: asynchronous, cached for as long as the answers say, asked once however many wait.

Answers are values: `Found`, or `Missing` (the name or the type doesn't exist), or `Unknown` (nobody could
say: temporary). No exception leaves this module but for cancellation.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdatatype
import dns.resolver

from shared.errors import ConfigurationError

MAX_CACHED = 20_000  # answers
MAX_TTL = 86_400  # seconds that an answer is believed at most
MIN_TTL = 1  # seconds: within a burst even TTL 0 is asked once
MAX_NEGATIVE_TTL = 900  # seconds; RFC 2308 §5 allows 3 hours, but a fixed zone should be seen soon
UNKNOWN_TTL = 5  # seconds until a failed look-up is tried again, RFC 2308 §7 allows 5 minutes
MAX_RECORDS = 256  # of one answer; the rest is ignored
MAX_ALIASES = 8  # CNAMEs to one answer
ATTEMPT_TIMEOUT = 3.0  # seconds for one query to one server
TIMEOUT = 8.0  # seconds in all
MAX_UNDER_WAY = 200  # queries at once


@dataclass(frozen=True, slots=True)
class Found:
    """Records of one type; `name` is the owner's name behind all CNAMEs, `secure` the AD bit."""

    name: str
    records: tuple[Any, ...]  # dns.rdata.Rdata of the type asked for
    ttl: float  # seconds
    secure: bool = False


@dataclass(frozen=True, slots=True)
class Missing:
    """No such records; `no_name` says that there is nothing else by that name either (NXDOMAIN)."""

    no_name: bool
    ttl: float
    secure: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """The look-up failed for now: SERVFAIL, a timeout, a malformed answer."""

    reason: str
    ttl: float = UNKNOWN_TTL


Answer = Found | Missing | Unknown


class Resolver:
    """A stub resolver; `server` is "ADDR:PORT", or "" for the system's configuration."""

    def __init__(
        self,
        server: str = "",
        *,
        max_cached: int = MAX_CACHED,
        timeout: float = TIMEOUT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stub = _stub(server, timeout)
        self._clock = clock
        self._max_cached = max_cached
        self._cache: OrderedDict[tuple[str, str], tuple[float, Answer]] = OrderedDict()
        self._under_way: dict[tuple[str, str], asyncio.Task[Answer]] = {}
        self._places = asyncio.Semaphore(MAX_UNDER_WAY)

    async def look_up(self, name: str, kind: str) -> Answer:
        """Return the records of type `kind` ("MX", "A", "TXT", …) of an absolute name."""
        key = (name.lower().rstrip("."), kind)
        cached = self._cached(key)
        if cached is not None:
            return cached
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(self._ask(key), name=f"dns {kind} {name}")
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        return await asyncio.shield(task)

    async def addresses(self, host: str) -> Answer:
        """Return the A and AAAA records of a host together, IPv6 first; Unknown only if neither is known."""
        answers = await asyncio.gather(self.look_up(host, "AAAA"), self.look_up(host, "A"))
        found = [answer for answer in answers if isinstance(answer, Found)]
        if found:
            records = tuple(record for answer in found for record in answer.records)
            return Found(found[0].name, records, min(a.ttl for a in found), secure=all(a.secure for a in found))
        unknown = [answer for answer in answers if isinstance(answer, Unknown)]
        return unknown[0] if unknown else answers[0]

    def forget(self) -> None:
        """Empty the cache."""
        self._cache.clear()

    def _cached(self, key: tuple[str, str]) -> Answer | None:
        entry = self._cache.get(key)
        if entry is None:
            return None
        until, answer = entry
        if until <= self._clock():
            del self._cache[key]
            return None
        self._cache.move_to_end(key)
        return answer

    async def _ask(self, key: tuple[str, str]) -> Answer:
        async with self._places:
            answer = await self._query(*key)
        self._cache[key] = (self._clock() + answer.ttl, answer)
        self._cache.move_to_end(key)
        while len(self._cache) > self._max_cached:
            self._cache.popitem(last=False)
        return answer

    async def _query(self, name: str, kind: str) -> Answer:
        try:
            answer = await self._stub.resolve(dns.name.from_text(name), kind, raise_on_no_answer=False, search=False)
        except dns.resolver.NXDOMAIN as error:
            responses = list(error.responses().values())  # type: ignore[no-untyped-call]
            return _missing(responses[0] if responses else None, no_name=True)
        except (dns.exception.DNSException, OSError, ValueError) as error:
            # ValueError: not a name at all, or an answer that dnspython can't make sense of
            return Unknown(_reason(error))
        return _answer(answer)


def check_server(server: str) -> tuple[str, int]:
    """Return address and port of "ADDR:PORT" ("[ADDR]:PORT" for IPv6); ConfigurationError otherwise."""
    host, _, port = server.rpartition(":")
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
        if not 0 < int(port) < 65536:
            raise ValueError(port)
    except ValueError:
        raise ConfigurationError(f"resolver {server!r}: use ADDR:PORT, such as 127.0.0.1:53") from None
    return str(address), int(port)


def _stub(server: str, timeout: float) -> dns.asyncresolver.Resolver:
    try:
        stub = dns.asyncresolver.Resolver(configure=not server)
    except dns.resolver.NoResolverConfiguration as error:
        raise ConfigurationError(f"no DNS resolver: set PACKETBOAT_RESOLVER ({error})") from None
    if server:
        host, stub.port = check_server(server)
        stub.nameservers = [host]
    stub.timeout = min(ATTEMPT_TIMEOUT, timeout)
    stub.lifetime = timeout
    stub.cache = None
    stub.use_edns(0, 0, 1232)
    stub.flags = dns.flags.RD | dns.flags.AD  # AD: say whether the answer was validated
    return stub


def _answer(answer: dns.resolver.Answer) -> Answer:
    secure = bool(answer.response.flags & dns.flags.AD)
    if len(answer.chaining_result.cnames) > MAX_ALIASES:
        return Unknown("too many CNAMEs")
    if answer.rrset is None:
        return _missing(answer.response, no_name=False)
    ttl = max(MIN_TTL, min(answer.chaining_result.minimum_ttl, MAX_TTL))
    records = tuple(answer.rrset)[:MAX_RECORDS]
    return Found(answer.canonical_name.to_text(omit_final_dot=True).lower(), records, ttl, secure)


def _missing(response: dns.message.Message | None, *, no_name: bool) -> Missing:
    if not isinstance(response, dns.message.QueryMessage):
        return Missing(no_name, MIN_TTL)
    secure = bool(response.flags & dns.flags.AD)
    try:
        ttl = response.resolve_chaining().minimum_ttl
    except dns.exception.DNSException:
        ttl = MIN_TTL
    return Missing(no_name, max(MIN_TTL, min(ttl, MAX_NEGATIVE_TTL)), secure)


def _reason(error: Exception) -> str:
    match error:
        case dns.resolver.LifetimeTimeout():
            return "the resolver didn't answer in time"
        case dns.resolver.NoNameservers():
            return "the name servers failed"
        case _:
            return str(error) or type(error).__name__
