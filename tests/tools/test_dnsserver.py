"""The tests' DNS server answers as an authoritative server must, or fails as told."""

from __future__ import annotations

from collections.abc import Iterator

import dns.resolver
import pytest

from tests.tools.dnsserver import DnsServer, Failure

ZONE = f"""
@ MX 10 mx
mx A 127.0.0.3
www CNAME mx
*.wild TXT "any"
deep.empty A 127.0.0.4
big TXT {" ".join('"' + "x" * 200 + '"' for _ in range(12))}
"""


@pytest.fixture
def server() -> Iterator[DnsServer]:
    with DnsServer() as running:
        running.set_zone("b.test", ZONE)
        yield running


def _resolver(server: DnsServer) -> dns.resolver.Resolver:
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [server.host]
    resolver.port = server.port
    resolver.lifetime = 2.0
    resolver.timeout = 0.3
    return resolver


@pytest.mark.parametrize(
    ("name", "rdtype", "answer"),
    [
        ("b.test", "MX", "10 mx.b.test."),
        ("www.b.test", "A", "127.0.0.3"),
        ("x.wild.b.test", "TXT", '"any"'),
    ],
)
def test_answers(server: DnsServer, name: str, rdtype: str, answer: str) -> None:
    assert [str(record) for record in _resolver(server).resolve(name, rdtype)] == [answer]
    assert server.count(name, rdtype) == 1


def test_a_large_answer_is_truncated_and_comes_over_tcp(server: DnsServer) -> None:
    (record,) = _resolver(server).resolve("big.b.test", "TXT")
    assert len(str(record)) > 2000
    assert server.count("big.b.test") == 2


def test_unknown_names_and_empty_ones_differ(server: DnsServer) -> None:
    with pytest.raises(dns.resolver.NXDOMAIN):
        _resolver(server).resolve("nobody.b.test", "A")
    with pytest.raises(dns.resolver.NoAnswer):
        _resolver(server).resolve("empty.b.test", "A")
    with pytest.raises(dns.resolver.NoNameservers, match="REFUSED"):
        _resolver(server).resolve("elsewhere.test", "A")


def test_a_zone_changes_while_it_runs(server: DnsServer) -> None:
    server.set_zone("b.test", {"@": {"MX": "0 ."}})
    assert str(_resolver(server).resolve("b.test", "MX")[0]) == "0 ."


def test_chosen_names_fail_until_healed(server: DnsServer) -> None:
    server.fail("mx.b.test", Failure.SERVFAIL)
    with pytest.raises(dns.resolver.NoNameservers, match="SERVFAIL"):
        _resolver(server).resolve("mx.b.test", "A")
    server.fail("mx.b.test", Failure.TIMEOUT)
    with pytest.raises(dns.resolver.LifetimeTimeout):
        _resolver(server).resolve("mx.b.test", "A")
    server.heal("mx.b.test")
    assert str(_resolver(server).resolve("mx.b.test", "A")[0]) == "127.0.0.3"
