"""Routes from answers that a test makes up."""

from __future__ import annotations

import ipaddress
import random
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest

from services.relay.route import Route, RoutePolicy, Router, is_public
from services.relay.transport import Scheme, parse_transport
from shared.dns import Answer, Found, Missing, Unknown
from shared.smtp.outcome import Deferred, Failed


@dataclass
class Name:
    text: str

    def to_text(self, omit_final_dot: bool = False) -> str:
        return self.text


@dataclass
class Mx:
    preference: int
    exchange: Name


@dataclass
class Address:
    address: str


class FakeDns:
    """Answers by (name, type); what isn't there doesn't exist."""

    def __init__(self, mx: dict[str, Any], hosts: dict[str, Any]) -> None:
        self.mx = mx
        self.hosts = hosts

    async def look_up(self, name: str, kind: str) -> Answer:
        assert kind == "MX"
        value = self.mx.get(name, Missing(no_name=name not in self.hosts, ttl=60))
        if not isinstance(value, list):
            return value  # type: ignore[no-any-return]
        return Found(name, tuple(Mx(preference, Name(host)) for preference, host in value), 60)

    async def addresses(self, host: str) -> Answer:
        value = self.hosts.get(host, Missing(no_name=True, ttl=60))
        if isinstance(value, tuple):  # an alias
            return Found(value[0], (Address("192.0.2.200"),), 60)
        return Found(host, tuple(map(Address, value)), 60) if isinstance(value, list) else value


G1, G2, G3 = "198.41.0.4", "199.9.14.201", "192.33.4.12"  # public ones; the documentation ranges aren't
G6 = "2001:500:2::c"


async def route(mx: dict[str, Any], hosts: dict[str, Any], domain: str = "x.test", **policy: Any) -> Any:
    values: dict[str, Any] = {"own_names": frozenset({"me.test"}), "own_addresses": frozenset({G3})} | policy
    router = Router(FakeDns(mx, hosts), RoutePolicy(**values), chance=random.Random(1))  # type: ignore[arg-type]
    return await router.route(domain)


def names(found: Any) -> list[str]:
    assert isinstance(found, Route), found
    return [hop.host for hop in found.hops]


def status(found: Any) -> str:
    assert isinstance(found, Failed | Deferred)
    return found.reply.status


async def test_by_preference() -> None:
    found = await route({"x.test": [(20, "b"), (10, "a")]}, {"a": [G1], "b": [G2]})
    assert names(found) == ["a", "b"]
    assert found.site == "a,b"
    assert found.hops[0].port == 25


async def test_equals_are_in_random_order_and_one_site() -> None:
    router = Router(
        FakeDns({"x.test": [(10, "a"), (10, "b")]}, {"a": [G1], "b": [G2]}),  # type: ignore[arg-type]
        RoutePolicy(),
    )
    found = [await router.route("x.test") for _ in range(60)]
    assert {route.site for route in found if isinstance(route, Route)} == {"a,b"}
    first = Counter(names(one)[0] for one in found)
    assert set(first) == {"a", "b"}


async def test_ipv6_first() -> None:
    found = await route({"x.test": [(10, "a")]}, {"a": [G1, G6]})
    assert [hop.address for hop in found.hops] == [G6, G1]


async def test_implicit_mx() -> None:
    found = await route({}, {"x.test": [G1]})
    assert names(found) == ["x.test"]


@pytest.mark.parametrize(
    ("mx", "hosts", "kind", "code"),
    [
        ({}, {}, Failed, "5.1.2"),  # no such domain
        ({"x.test": [(0, ".")]}, {}, Failed, "5.1.10"),
        ({"x.test": [(0, "")]}, {}, Failed, "5.1.10"),
        ({"x.test": Unknown("SERVFAIL")}, {}, Deferred, "4.4.3"),
        ({"x.test": [(10, "a")]}, {}, Failed, "5.4.4"),
        ({"x.test": [(10, "a")]}, {"a": Unknown("timeout")}, Deferred, "4.4.3"),
        ({"x.test": [(10, "a"), (20, "b")]}, {"b": Unknown("timeout")}, Deferred, "4.4.3"),
        ({"x.test": [(10, "a")]}, {"a": ["10.0.0.1", "127.0.0.1"]}, Failed, "5.4.4"),
        ({"x.test": [(10, "a")]}, {"a": ("other",)}, Failed, "5.4.4"),  # CNAME
        ({"x.test": [(10, "a b")]}, {"a b": [G1]}, Failed, "5.4.4"),
        ({"x.test": [(10, "me.test")]}, {"me.test": [G1]}, Failed, "5.4.6"),
        ({"x.test": [(10, "a")]}, {"a": [G3]}, Failed, "5.4.6"),
        ({}, {"x.test": [G3]}, Failed, "5.4.6"),
    ],
)
async def test_no_route(mx: dict[str, Any], hosts: dict[str, Any], kind: type, code: str) -> None:
    found = await route(mx, hosts)
    assert isinstance(found, kind)
    assert status(found) == code


async def test_a_null_mx_beside_others_is_ignored() -> None:
    assert names(await route({"x.test": [(0, "."), (10, "a")]}, {"a": [G1]})) == ["a"]


async def test_only_hosts_better_than_ourselves() -> None:
    mx = {"x.test": [(5, "a"), (10, "me.test"), (10, "b"), (20, "c")]}
    hosts = {"a": [G1], "b": [G2], "c": [G2], "me.test": [G3]}
    found = await route(mx, hosts)
    assert names(found) == ["a"]
    assert found.site == "a"


async def test_private_networks_when_they_are_allowed() -> None:
    allow = (ipaddress.ip_network("10.0.0.0/8"),)
    found = await route({"x.test": [(10, "a")]}, {"a": ["10.0.0.1", "192.168.1.1"]}, allow_private=allow)
    assert [hop.address for hop in found.hops] == ["10.0.0.1"]


async def test_literals() -> None:
    assert (await route({}, {}, f"[{G1}]")).hops[0].address == G1
    assert (await route({}, {}, f"[IPv6:{G6}]")).hops[0].address == G6
    assert status(await route({}, {}, "[127.0.0.1]")) == "5.4.4"
    assert status(await route({}, {}, f"[{G3}]")) == "5.4.6"
    assert status(await route({}, {}, "[999.1.1.1]")) == "5.1.2"


async def test_numbers_are_bounded() -> None:
    mx = {"x.test": [(n, f"h{n}") for n in range(100)]}
    hosts = {f"h{n}": [G1, G2] for n in range(100)}
    assert len((await route(mx, hosts)).hops) == 10


async def test_smarthost_and_transport() -> None:
    policy: dict[str, Any] = {
        "smarthost": parse_transport("[10.0.0.9]:587", 25),
        "transports": {"lmtp.test": parse_transport("lmtp:[127.0.0.1]:24", 25)},
    }
    found = await route({}, {}, **policy)
    assert (found.hops[0].address, found.hops[0].port, found.smarthost) == ("10.0.0.9", 587, True)
    found = await route({}, {}, "lmtp.test", **policy)
    assert (found.scheme, found.smarthost, found.site) == (Scheme.LMTP, False, "lmtp:[127.0.0.1]:24")
    assert isinstance(await route({}, {}, smarthost=parse_transport("nowhere.test", 25)), Deferred)


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.1", "172.16.0.1", "192.168.0.1", "127.0.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "240.0.0.1", "::1", "::", "fe80::1", "fc00::1", "fec0::1", "ff02::1", "::ffff:10.0.0.1",
        "::ffff:8.8.8.8", "64:ff9b::a00:1", "2002:a00:1::1", "2002:808:808::1", "192.0.2.1", "2001:db8::1",
    ],
)  # fmt: skip
def test_not_public(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", [G1, G6, "64:ff9b::808:808", "8.8.8.8"])
def test_public(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))
