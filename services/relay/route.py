"""From a domain to the hosts that take its mail (RFC 5321 §5, RFC 7505), and to the site that they are."""

from __future__ import annotations

import asyncio
import ipaddress
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from services.relay.transport import Scheme, Transport, find_transport
from shared.dns import Answer, Found, Missing, Resolver, Unknown
from shared.smtp.outcome import Deferred, Failed
from shared.smtp.reply import local_reply

SMTP_PORT = 25
MAX_HOSTS = 10  # of one domain that are looked up, the best preferences first
MAX_ADDRESSES = 10  # of one route that are tried
MAX_SITE = 1000  # characters of a site's name

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_HOST_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_.\-]{0,251}[a-z0-9_])?\Z")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Hop:
    """One address of one host."""

    host: str
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Route:
    """Where to try, in this order; `site` is equal for domains with the same set of hosts."""

    site: str
    hops: tuple[Hop, ...]
    scheme: Scheme = Scheme.SMTP
    smarthost: bool = False


Refusal = Deferred | Failed


@dataclass(frozen=True, slots=True)
class RoutePolicy:
    """What routes depend on besides DNS."""

    port: int = SMTP_PORT
    own_names: frozenset[str] = frozenset()
    own_addresses: frozenset[str] = frozenset()  # where we would talk to ourselves, at `port`
    allow_private: tuple[IPNetwork, ...] = ()
    transports: Mapping[str, Transport] = field(default_factory=dict)
    smarthost: Transport | None = None


class Router:
    """Finds routes; what DNS says is cached by the resolver."""

    def __init__(self, resolver: Resolver, policy: RoutePolicy, *, chance: random.Random | None = None) -> None:
        self._resolver = resolver
        self._policy = policy
        self._random = chance or random.Random()

    async def route(self, domain: str) -> Route | Refusal:
        """Return the route of a recipient's domain, or why there is none."""
        transport = find_transport(self._policy.transports, domain)
        if transport is not None:
            return await self._by_transport(transport, smarthost=False)
        if self._policy.smarthost is not None:
            return await self._by_transport(self._policy.smarthost, smarthost=True)
        if domain.startswith("["):
            return self._literal(domain)
        return await self._by_mx(domain, self._policy.port)

    async def _by_transport(self, transport: Transport, *, smarthost: bool) -> Route | Refusal:
        """The operator has chosen it: a host that is named may be private, or on this machine."""
        if not transport.is_host:
            route = await self._by_mx(transport.name, transport.port)
            if isinstance(route, Route):
                return Route(f"{transport.scheme}:{route.site}", route.hops, transport.scheme, smarthost)
            return _temporary(route)
        addresses = await self._host_addresses(transport.name)
        if not isinstance(addresses, list):
            return _temporary(addresses)
        hops = tuple(Hop(transport.name, text, transport.port) for text in self._shuffled(addresses))
        return Route(str(transport), hops[:MAX_ADDRESSES], transport.scheme, smarthost)

    def _literal(self, domain: str) -> Route | Refusal:
        text = domain.strip("[]").removeprefix("IPv6:")
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return Failed(local_reply(550, "5.1.2", f"{domain} is no address literal"))
        if self._is_own(str(address)):
            return _loop(domain)
        if not self._may_reach(address):
            return _not_public(domain)
        return Route(domain, (Hop(domain, str(address), self._policy.port),))

    async def _by_mx(self, domain: str, port: int) -> Route | Refusal:
        answer = await self._resolver.look_up(domain, "MX")
        match answer:
            case Unknown(reason):
                return _look_up_failed(domain, reason)
            case Missing(no_name=True):
                return Failed(local_reply(550, "5.1.2", f"the domain {domain} doesn't exist"))
            case Missing():
                return await self._implicit(domain, port)
        hosts = self._by_preference(answer)
        if not hosts:
            return Failed(local_reply(556, "5.1.10", f"the domain {domain} takes no mail (null MX)"))
        return await self._by_hosts(domain, hosts, port)

    async def _implicit(self, domain: str, port: int) -> Route | Refusal:
        addresses = await self._host_addresses(domain)
        if not isinstance(addresses, list):
            return addresses
        if domain in self._policy.own_names or any(self._is_own(text) for text in addresses):
            return _loop(domain)
        hops = self._hops(domain, addresses, port)
        return Route(_site([domain], port), hops[:MAX_ADDRESSES]) if hops else _not_public(domain)

    async def _by_hosts(self, domain: str, hosts: Sequence[tuple[int, str]], port: int) -> Route | Refusal:
        names = [name for _, name in hosts]
        answers = await asyncio.gather(*(self._mx_addresses(name) for name in names))
        own = [
            preference
            for (preference, name), addresses in zip(hosts, answers, strict=True)
            if name in self._policy.own_names
            or (isinstance(addresses, list) and any(self._is_own(text) for text in addresses))
        ]
        # RFC 5321 §5.1: none whose preference isn't better than ours
        usable = [
            (name, addresses)
            for (preference, name), addresses in zip(hosts, answers, strict=True)
            if not own or preference < min(own)
        ]
        if not usable:
            return _loop(domain)
        hops = [
            hop
            for name, addresses in usable
            if isinstance(addresses, list)
            for hop in self._hops(name, addresses, port)
        ]
        if hops:
            return Route(_site([name for name, _ in usable], port), tuple(hops[:MAX_ADDRESSES]))
        return _worst(domain, [addresses for _, addresses in usable])

    def _by_preference(self, answer: Found) -> list[tuple[int, str]]:
        """The hosts, best first, in random order among equals; none of them is the root (RFC 7505)."""
        pairs = {
            (int(record.preference), record.exchange.to_text(omit_final_dot=True).lower()) for record in answer.records
        }
        hosts = sorted((preference, self._random.random(), name) for preference, name in pairs if name not in ("", "."))
        return [(preference, name) for preference, _, name in hosts[:MAX_HOSTS]]

    async def _mx_addresses(self, host: str) -> list[str] | Refusal:
        """An MX host must not be an alias (RFC 5321 §5.1, RFC 2181 §10.3)."""
        if not _HOST_NAME.match(host):
            return Failed(local_reply(550, "5.4.4", f"an MX record names {host!r}, which is no host name"))
        answer = await self._resolver.addresses(host)
        if isinstance(answer, Found) and answer.name != host:
            return Failed(local_reply(550, "5.4.4", f"the mail host {host} is an alias (CNAME), which MX forbids"))
        return _addresses(host, answer)

    async def _host_addresses(self, host: str) -> list[str] | Refusal:
        try:
            return [str(ipaddress.ip_address(host))]
        except ValueError:
            return _addresses(host, await self._resolver.addresses(host))

    def _hops(self, host: str, addresses: Iterable[str], port: int) -> tuple[Hop, ...]:
        allowed = [text for text in addresses if self._may_reach(ipaddress.ip_address(text))]
        return tuple(Hop(host, text, port) for text in self._shuffled(allowed))

    def _shuffled(self, addresses: Sequence[str]) -> list[str]:
        """IPv6 before IPv4, each in random order."""
        return sorted(addresses, key=lambda text: (":" not in text, self._random.random()))

    def _is_own(self, address: str) -> bool:
        return address in self._policy.own_addresses

    def _may_reach(self, address: IPAddress) -> bool:
        return is_public(address) or any(
            network.version == address.version and address in network for network in self._policy.allow_private
        )


def is_public(address: IPAddress) -> bool:
    """Say whether an address is another's on the internet, and stays one when tunnels are unpacked."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is not None:
            return False  # a host that is reachable has an address of its own kind
        if address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _addresses(host: str, answer: Answer) -> list[str] | Refusal:
    match answer:
        case Unknown(reason):
            return _look_up_failed(host, reason)
        case Missing():
            return Failed(local_reply(550, "5.4.4", f"the mail host {host} has no address"))
    return list(dict.fromkeys(record.address for record in answer.records))


def _site(hosts: Iterable[str], port: int) -> str:
    suffix = "" if port == SMTP_PORT else f":{port}"
    return (",".join(sorted(hosts)) + suffix)[:MAX_SITE]


def _worst(domain: str, refusals: Sequence[list[str] | Refusal]) -> Refusal:
    """Of hosts none of which can be used: as long as one may come back it is temporary."""
    for refusal in refusals:
        if isinstance(refusal, Deferred):
            return refusal
    failed = [refusal for refusal in refusals if isinstance(refusal, Failed)]
    return _not_public(domain) if len(failed) < len(refusals) else failed[0]


def _temporary(refusal: Refusal) -> Deferred:
    """The operator's own next hop is never a reason to return mail before it expires."""
    reply = refusal.reply
    return refusal if isinstance(refusal, Deferred) else Deferred(local_reply(451, "4.4.4", f"next hop: {reply.text}"))


def _look_up_failed(name: str, reason: str) -> Deferred:
    return Deferred(local_reply(451, "4.4.3", f"{name} can't be looked up now: {reason}"))


def _loop(domain: str) -> Failed:
    return Failed(local_reply(554, "5.4.6", f"mail for {domain} loops back to us"))


def _not_public(domain: str) -> Failed:
    return Failed(local_reply(550, "5.4.4", f"the mail hosts of {domain} have no public address"))
