"""Next hops in settings."""

import pytest

from services.relay.transport import Scheme, Transport, find_transport, parse_transport
from shared.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("example.org", Transport("example.org", False, 25)),
        ("[Mx.example.org]", Transport("mx.example.org", True, 25)),
        ("[10.0.0.1]:2525", Transport("10.0.0.1", True, 2525)),
        ("[2001:db8::1]:465", Transport("2001:db8::1", True, 465, Scheme.SMTPS)),
        ("smtps:[mx]:4465", Transport("mx", True, 4465, Scheme.SMTPS)),
        ("lmtp:[127.0.0.1]:24", Transport("127.0.0.1", True, 24, Scheme.LMTP)),
    ],
)
def test_forms(text: str, expected: Transport) -> None:
    assert parse_transport(text, 25) == expected


@pytest.mark.parametrize("text", ["", "[a", "a b", "a:0", "a:99999", "http:a", "[a]:x", "a\r\n"])
def test_malformed(text: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_transport(text, 25)


def test_the_nearest_wins() -> None:
    a, b = parse_transport("a", 25), parse_transport("b", 25)
    transports = {"example.org": a, ".example.org": b}
    assert find_transport(transports, "example.org") is a
    assert find_transport(transports, "x.y.example.org") is b
    assert find_transport(transports, "example.net") is None
