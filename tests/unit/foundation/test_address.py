"""Addresses are parsed once, strictly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.address import Address, AddressError, normalise_domain, parse_address


@pytest.mark.parametrize(
    ("text", "local", "domain"),
    [
        ("alice@example.org", "alice", "example.org"),
        ("A.l+tag@EXAMPLE.org", "A.l+tag", "example.org"),
        ('"a b"@x.test', "a b", "x.test"),
        ('"a\\"b@c"@x.test', 'a"b@c', "x.test"),
        ("grün@bücher.test", "grün", "xn--bcher-kva.test"),
        ("x@[192.0.2.1]", "x", "[192.0.2.1]"),
        ("x@[IPv6:2001:db8::1]", "x", "[IPv6:2001:db8::1]"),
    ],
)
def test_parsed(text: str, local: str, domain: str) -> None:
    assert parse_address(text) == Address(local, domain)


@pytest.mark.parametrize(
    "text",
    ["", "alice", "@x.test", "alice@", ".a@x.test", "a..b@x.test", "a b@x.test", "a@x..test", "a@-x.test",
     "a@x_y!.test", "<a@x.test>", "a" * 65 + "@x.test", "a@" + "x" * 64 + ".test", 'a"b"@x.test', "a\r\n@x.test",
     "a@x.test\n", '"a\n"@x.test', "\x00@x.test", "a@xn--\u00fc.test"],
)  # fmt: skip
def test_refused(text: str) -> None:
    with pytest.raises(AddressError):
        parse_address(text)


@given(st.text(max_size=80))
def test_whatever_is_parsed_is_written_the_same(text: str) -> None:
    try:
        address = parse_address(text)
    except AddressError:
        return
    assert parse_address(str(address)) == address


def test_sub_addresses() -> None:
    assert str(parse_address("user+tag@x.test").without_tag()) == "user@x.test"
    assert str(parse_address("+tag@x.test").without_tag()) == "+tag@x.test"
    assert parse_address("USER@X.test").key == "user@x.test"


def test_domains_are_a_labels_in_lower_case() -> None:
    assert normalise_domain("BÜCHER.Test") == "xn--bcher-kva.test"
