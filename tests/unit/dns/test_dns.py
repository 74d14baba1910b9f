"""The resolver against the tests' own DNS server on loopback."""

import asyncio
from collections.abc import Iterator

import pytest

from shared.dns import Found, Missing, Resolver, Unknown, check_server
from shared.errors import ConfigurationError
from tests.tools.dnsserver import DnsServer, Failure


@pytest.fixture
def server() -> Iterator[DnsServer]:
    with DnsServer() as server:
        server.set_zone(
            "b.test",
            "@ MX 10 mx\nmx A 127.0.0.3\nmx AAAA ::1\nv4 A 127.0.0.4\n"
            "www CNAME mx\ngone CNAME nowhere\nloop CNAME loop",
        )
        yield server


@pytest.fixture
def resolver(server: DnsServer) -> Resolver:
    return Resolver(server.address, timeout=1)


async def test_found(resolver: Resolver) -> None:
    answer = await resolver.look_up("B.test.", "MX")
    assert isinstance(answer, Found)
    assert [record.to_text() for record in answer.records] == ["10 mx.b.test."]


async def test_missing(resolver: Resolver) -> None:
    nowhere, no_mx = await resolver.look_up("x.b.test", "MX"), await resolver.look_up("mx.b.test", "MX")
    assert isinstance(nowhere, Missing)
    assert nowhere.no_name
    assert isinstance(no_mx, Missing)
    assert not no_mx.no_name


async def test_unknown(resolver: Resolver, server: DnsServer) -> None:
    server.fail("b.test", Failure.SERVFAIL)
    assert isinstance(await resolver.look_up("b.test", "MX"), Unknown)
    server.fail("b.test", Failure.TIMEOUT)
    assert isinstance(await resolver.look_up("b.test", "A"), Unknown)
    assert isinstance(await resolver.look_up("outside.example", "A"), Unknown)
    assert isinstance(await resolver.look_up("x" * 64 + ".test", "A"), Unknown)
    assert isinstance(await resolver.look_up("a..b", "A"), Unknown)


async def test_aliases(resolver: Resolver) -> None:
    answer = await resolver.look_up("www.b.test", "A")
    assert isinstance(answer, Found)
    assert answer.name == "mx.b.test"
    assert isinstance(await resolver.look_up("gone.b.test", "A"), Missing)
    assert isinstance(await resolver.look_up("loop.b.test", "A"), Unknown)


async def test_addresses(resolver: Resolver, server: DnsServer) -> None:
    both, four = await resolver.addresses("mx.b.test"), await resolver.addresses("v4.b.test")
    assert isinstance(both, Found)
    assert [record.to_text() for record in both.records] == ["::1", "127.0.0.3"]
    assert isinstance(four, Found)
    assert [record.to_text() for record in four.records] == ["127.0.0.4"]
    assert isinstance(await resolver.addresses("b.test"), Missing)


async def test_asked_once(resolver: Resolver, server: DnsServer) -> None:
    await asyncio.gather(*(resolver.look_up("b.test", "MX") for _ in range(100)))
    await resolver.look_up("b.test", "MX")
    assert server.count("b.test", "MX") == 1
    await resolver.look_up("x.b.test", "A")
    await resolver.look_up("x.b.test", "A")
    assert server.count("x.b.test", "A") == 1


async def test_a_waiter_that_gives_up_takes_no_other_along(resolver: Resolver) -> None:
    first = asyncio.create_task(resolver.look_up("b.test", "MX"))
    second = asyncio.create_task(resolver.look_up("b.test", "MX"))
    await asyncio.sleep(0)
    first.cancel()
    assert isinstance(await second, Found)


async def test_the_cache_is_bounded_and_honours_ttl(server: DnsServer) -> None:
    now = [0.0]
    resolver = Resolver(server.address, max_cached=2, clock=lambda: now[0])
    for name in ("b.test", "mx.b.test", "v4.b.test", "b.test"):
        await resolver.look_up(name, "A")
    assert server.count("b.test", "A") == 2
    now[0] = 61
    await resolver.look_up("b.test", "A")
    assert server.count("b.test", "A") == 3


@pytest.mark.parametrize("server", ["x", "127.0.0.1", "127.0.0.1:0", "host:53", ":53", "127.0.0.1:99999"])
def test_bad_servers(server: str) -> None:
    with pytest.raises(ConfigurationError):
        check_server(server)


def test_servers() -> None:
    assert check_server("[::1]:5300") == ("::1", 5300)
