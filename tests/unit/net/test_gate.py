"""Connection counts and listen addresses."""

from __future__ import annotations

import pytest

from shared.errors import ConfigurationError
from shared.net import ConnectionGate, Endpoint, network_of, parse_listen


def test_limits_in_all_and_per_address() -> None:
    gate = ConnectionGate(total=3, per_ip=2)
    assert [gate.acquire("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert gate.acquire("192.0.2.2")
    assert not gate.acquire("192.0.2.3")
    gate.release("192.0.2.1")
    assert gate.acquire("192.0.2.3")
    assert gate.open == 3


def test_counts_nothing_when_refused_and_forgets_who_left() -> None:
    gate = ConnectionGate(total=10, per_ip=1)
    assert gate.acquire("192.0.2.1") and not gate.acquire("192.0.2.1")
    gate.release("192.0.2.1")
    assert gate.open == 0
    assert gate._by_network == {}
    assert gate.acquire("192.0.2.1")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:0:0:1", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_ipv6_is_counted_by_network(one: str, other: str, same: bool) -> None:
    assert (network_of(one) == network_of(other)) is same


def test_listen_addresses() -> None:
    assert parse_listen(["127.0.0.1", "::1", "[::1]"], 25) == (Endpoint("127.0.0.1", 25), Endpoint("::1", 25))
    assert [str(e) for e in parse_listen(["0.0.0.0", "::"], 25)] == ["0.0.0.0:25", "[::]:25"]
    assert [e.is_loopback for e in parse_listen(["127.0.0.9", "::1", "::", "10.0.0.1"], 1)] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("addresses", [["mail.example"], ["127.0.0.1:25"], ["127.0.0.0/8"], []])
def test_bad_listen_address(addresses: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="listen: "):
        parse_listen(addresses, 25)
