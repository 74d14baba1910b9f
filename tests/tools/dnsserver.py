"""A small authoritative DNS server for tests: zones change while it runs, names fail on demand.

It answers over UDP and TCP from zones held in memory. To a stub resolver it looks like a recursive
one (RA is set), so `--resolver ADDR:PORT` can point at it. Names outside its zones are REFUSED.

    with DnsServer() as dns:
        dns.set_zone("b.test", "@ MX 10 mx\\nmx A 127.0.0.3")
        dns.fail("slow.test", Failure.TIMEOUT)

Standalone: `python -m tests.tools.dnsserver --listen 127.0.0.1:5300 --zone b.test=b.zone`; a zone file
that changes is read again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import enum
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self, TypeVar, cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.node
import dns.rcode
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.rrset
import dns.zone

DEFAULT_TTL = 60
MAX_CNAME_CHAIN = 16
UDP_PAYLOAD = 512  # without EDNS, RFC 1035 section 4.2.1
ZONE_POLL_SECONDS = 0.2

Value = TypeVar("Value")
Records = Mapping[str, Mapping[str, str | Sequence[str]]]

PORT_TRIES = 10  # free ports looked for


class Failure(enum.Enum):
    """How a query for a chosen name goes wrong."""

    SERVFAIL = "servfail"
    REFUSED = "refused"
    TIMEOUT = "timeout"


class DnsServer:
    """Authoritative server on one address, running in a thread of its own."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.host = host
        self.port = port
        self.queries: list[tuple[str, str]] = []
        self._zones: dict[dns.name.Name, dns.zone.Zone] = {}
        self._authenticated: set[dns.name.Name] = set()
        self._failures: dict[dns.name.Name, Failure] = {}
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="dnsserver", daemon=True)

    @property
    def address(self) -> str:
        """`host:port`, as `--resolver` wants it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def start(self) -> Self:
        """Bind UDP and TCP on the same port; raises OSError when that fails."""
        self._thread.start()
        self._started.wait()
        if self._error is not None:
            raise self._error
        return self

    def stop(self) -> None:
        """Close the sockets and join the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    __enter__ = start

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def set_zone(self, origin: str, records: str | Records, *, authenticated: bool = False) -> None:
        """Replace a zone by master-file text or `{name: {type: data or [data]}}`; `@` is the origin.

        Every line names its owner; SOA and NS are added if absent. With `authenticated` answers carry AD,
        as from a validating resolver.
        """
        text = records if isinstance(records, str) else _master_file(records)
        zone = _parse_zone(origin, text)
        assert zone.origin is not None
        with self._lock:
            self._zones[zone.origin] = zone
            self._authenticated.discard(zone.origin)
            if authenticated:
                self._authenticated.add(zone.origin)

    def remove_zone(self, origin: str) -> None:
        """Forget a zone: its names are REFUSED from now on."""
        with self._lock:
            self._zones.pop(dns.name.from_text(origin), None)

    def fail(self, name: str, failure: Failure) -> None:
        """Make every query for `name` and all below it fail."""
        with self._lock:
            self._failures[dns.name.from_text(name)] = failure

    def heal(self, name: str | None = None) -> None:
        """Answer for `name` (or for all names) again."""
        with self._lock:
            if name is None:
                self._failures.clear()
            else:
                self._failures.pop(dns.name.from_text(name), None)

    def count(self, name: str, rdtype: str | None = None) -> int:
        """How many queries came for `name` (without final dot), of one type or all."""
        wanted = name.rstrip(".").lower()
        return sum(1 for asked, kind in self.queries if asked == wanted and rdtype in (None, kind))

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            tcp = self._loop.run_until_complete(self._listen())
        except OSError as error:
            self._error = error
            self._started.set()
            return
        self._started.set()
        self._loop.run_forever()
        tcp.close()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    async def _listen(self) -> asyncio.Server:
        """Open TCP and UDP on one port; a free TCP port may be taken for UDP, then try another."""
        for attempt in range(PORT_TRIES):
            tcp = await asyncio.start_server(self._serve_tcp, self.host, self.port)
            port = tcp.sockets[0].getsockname()[1]
            try:
                await self._loop.create_datagram_endpoint(lambda: _Udp(self), local_addr=(self.host, port))
            except OSError:
                tcp.close()
                if self.port or attempt == PORT_TRIES - 1:
                    raise
                continue
            self.port = port
            break
        return tcp

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                length = int.from_bytes(await reader.readexactly(2), "big")
                wire = self.respond(await reader.readexactly(length), 65535)
                if wire is not None:
                    writer.write(len(wire).to_bytes(2, "big") + wire)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def respond(self, wire: bytes, max_size: int) -> bytes | None:
        """The reply to one query in wire form, or None where it is to time out."""
        try:
            query = dns.message.from_wire(wire)
        except dns.exception.DNSException:
            return None
        reply = self._reply(query)
        if reply is None:
            return None
        try:
            return reply.to_wire(max_size=max(max_size, query.payload if query.edns >= 0 else 0))
        except dns.exception.TooBig:
            reply.answer.clear()
            reply.authority.clear()
            reply.flags |= dns.flags.TC
            return reply.to_wire()

    def _reply(self, query: dns.message.Message) -> dns.message.Message | None:
        question = query.question[0]
        self.queries.append(
            (question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype))
        )
        reply = dns.message.make_response(query, recursion_available=True)
        with self._lock:
            match _closest(question.name, self._failures):
                case Failure.TIMEOUT:
                    return None
                case Failure.SERVFAIL:
                    reply.set_rcode(dns.rcode.SERVFAIL)
                case Failure.REFUSED:
                    reply.set_rcode(dns.rcode.REFUSED)
                case None:
                    self._answer(question.name, question.rdtype, reply)
        return reply

    def _answer(self, name: dns.name.Name, rdtype: int, reply: dns.message.Message) -> None:
        """Fill in the answer, following CNAMEs as far as our zones go."""
        for _ in range(MAX_CNAME_CHAIN):
            zone = _closest(name, self._zones)
            if zone is None:
                if not reply.answer:
                    reply.set_rcode(dns.rcode.REFUSED)
                return
            reply.flags |= dns.flags.AA
            if zone.origin in self._authenticated:
                reply.flags |= dns.flags.AD
            node = _find_node(zone, name)
            if node is None:
                reply.set_rcode(dns.rcode.NXDOMAIN)
                _add_soa(zone, reply)
                return
            alias = node.get_rdataset(dns.rdataclass.IN, dns.rdatatype.CNAME)
            if alias is None or rdtype == dns.rdatatype.CNAME:
                _add_rdatasets(zone, node, name, rdtype, reply)
                return
            reply.answer.append(_rrset(name, alias))
            name = alias[0].target
        reply.set_rcode(dns.rcode.SERVFAIL)


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        wire = self._server.respond(data, UDP_PAYLOAD)
        if wire is not None and self._transport is not None:
            self._transport.sendto(wire, addr)


def _closest(name: dns.name.Name, table: Mapping[dns.name.Name, Value]) -> Value | None:
    """The entry of `table` for `name` or its nearest ancestor."""
    while True:
        if name in table:
            return table[name]
        if name == dns.name.root:
            return None
        name = name.parent()


def _find_node(zone: dns.zone.Zone, name: dns.name.Name) -> dns.node.Node | None:
    """The node itself, an empty one where names lie below it, or a wildcard's (RFC 4592)."""
    node = zone.get_node(name)
    if node is not None:
        return node
    if any(other.is_subdomain(name) for other in zone.nodes):
        return dns.node.Node()  # type: ignore[no-untyped-call]
    ancestor = name
    while ancestor != zone.origin:
        ancestor = ancestor.parent()
        wildcard = zone.get_node(dns.name.Name((b"*", *ancestor.labels)))
        if wildcard is not None:
            return wildcard
        if zone.get_node(ancestor) is not None:
            return None
    return None


def _add_rdatasets(
    zone: dns.zone.Zone,
    node: dns.node.Node,
    name: dns.name.Name,
    rdtype: int,
    reply: dns.message.Message,
) -> None:
    found = [rds for rds in node.rdatasets if rdtype in (rds.rdtype, dns.rdatatype.ANY)]
    reply.answer.extend(_rrset(name, rdataset) for rdataset in found)
    if not found:
        _add_soa(zone, reply)


def _add_soa(zone: dns.zone.Zone, reply: dns.message.Message) -> None:
    assert zone.origin is not None
    soa = zone.find_rdataset(zone.origin, dns.rdatatype.SOA)
    reply.authority.append(_rrset(zone.origin, soa))


def _rrset(name: dns.name.Name, rdataset: dns.rdataset.Rdataset) -> dns.rrset.RRset:
    return dns.rrset.from_rdata_list(name, rdataset.ttl, list(rdataset))


def _master_file(records: Records) -> str:
    lines = []
    for name, by_type in records.items():
        for rdtype, data in by_type.items():
            lines += [f"{name} {rdtype} {item}" for item in ([data] if isinstance(data, str) else data)]
    return "\n".join(lines)


def _parse_zone(origin: str, text: str) -> dns.zone.Zone:
    head = f"$TTL {DEFAULT_TTL}\n"
    upper = f" {text.upper()} ".split()
    if "SOA" not in upper:
        head += f"@ SOA ns hostmaster {int(time.time())} 3600 600 86400 {DEFAULT_TTL}\n"
    if "NS" not in upper:
        head += "@ NS ns\n"
    body = "\n".join(line.strip() for line in text.splitlines())
    return dns.zone.from_text(head + body + "\n", origin, relativize=False)


def main() -> None:
    """Serve zone files until interrupted, reading again those that change."""
    options = _parser().parse_args()
    host, _, port = options.listen.rpartition(":")
    files = dict(item.partition("=")[::2] for item in options.zone)
    with DnsServer(host.strip("[]"), int(port)) as server:
        for failure in Failure:
            for name in getattr(options, failure.value):
                server.fail(name, failure)
        print(f"listening on {server.address}", flush=True)
        _follow(server, {origin: Path(path) for origin, path in files.items()})


def _follow(server: DnsServer, files: Mapping[str, Path]) -> None:
    seen: dict[str, int] = {}
    while True:
        for origin, path in files.items():
            changed = path.stat().st_mtime_ns
            if seen.get(origin) != changed:
                server.set_zone(origin, path.read_text())
                seen[origin] = changed
        time.sleep(ZONE_POLL_SECONDS)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--listen", default="127.0.0.1:5300", help="address:port, UDP and TCP")
    parser.add_argument("--zone", action="append", default=[], metavar="ORIGIN=FILE")
    for failure in Failure:
        parser.add_argument(f"--{failure.value}", action="append", default=[], metavar="NAME")
    return parser


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
