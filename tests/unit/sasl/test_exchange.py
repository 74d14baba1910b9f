"""SASL exchanges as the protocols carry them."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.sasl.credentials import BadCredentials, Credentials, credentials
from shared.sasl.exchange import MAX_RESPONSE, MAX_STEPS, Exchange, encode
from shared.sasl.mechanism import Challenge, Reason, Refused, Step
from shared.sasl.mechanisms import MAKERS, OFFERED, offered

TIM = Credentials("tim", "tanstaaftanstaaf")


def plain(response: bytes) -> Step:
    return Exchange().begin(b"PLAIN", b64encode(response) or b"=")


def test_plain_with_an_initial_response() -> None:
    # RFC 4616 §4
    assert plain(b"\0tim\0tanstaaftanstaaf") == TIM


def test_plain_without_an_initial_response() -> None:
    exchange = Exchange()
    step = exchange.begin(b"plain")
    assert step == Challenge(b"")
    assert isinstance(step, Challenge)
    assert encode(step) == b""
    assert exchange.receive(b64encode(b"\0tim\0tanstaaftanstaaf")) == TIM


def test_login() -> None:
    exchange = Exchange()
    step = exchange.begin(b"LOGIN")
    assert isinstance(step, Challenge)
    assert encode(step) == b"VXNlcm5hbWU6"
    step = exchange.receive(b64encode(b"tim"))
    assert isinstance(step, Challenge)
    assert encode(step) == b"UGFzc3dvcmQ6"
    assert exchange.receive(b64encode(b"tanstaaftanstaaf")) == TIM


def test_login_with_an_initial_response() -> None:
    exchange = Exchange()
    assert exchange.begin(b"LOGIN", b64encode(b"tim")) == Challenge(b"Password:")
    assert exchange.receive(b64encode(b"tanstaaftanstaaf")) == TIM


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (b"tim\0tim\0x", None),
        (b"TIM\0tim\0x", None),
        (b"Ursel\0Kurt\0xipj3plmq", Reason.WRONG_AUTHZID),
        (b"", Reason.MALFORMED),
        (b"tim\0x", Reason.MALFORMED),
        (b"\0tim\0x\0y", Reason.MALFORMED),
        (b"\0\0x", Reason.MALFORMED),
        (b"\0tim\0", Reason.MALFORMED),
        (b"\0\xff\0x", Reason.MALFORMED),
        (b"\0tim\0\xff", Reason.MALFORMED),
        (b"\0a\nb\0x", Reason.MALFORMED),
        (b"\0" + b"x" * 513 + b"\0x", Reason.MALFORMED),
        (b"\0x\0" + b"x" * 1025, Reason.MALFORMED),
    ],
)
def test_plain_refused(response: bytes, reason: Reason | None) -> None:
    assert plain(response) == (Credentials("tim", "x") if reason is None else Refused(reason))


@pytest.mark.parametrize("line", [b"a", b"!!!!", b"YQ", b"YQ=", b"YQ==YQ==", b"YQ==\n", b" YQ==", b"=", b"Y-__"])
def test_what_is_not_base64_is_refused(line: bytes) -> None:
    exchange = Exchange()
    exchange.begin(b"PLAIN")
    assert exchange.receive(line) == Refused(Reason.MALFORMED)


def test_cancelled() -> None:
    exchange = Exchange()
    exchange.begin(b"LOGIN")
    assert exchange.receive(b"*") == Refused(Reason.CANCELLED)


def test_unknown_mechanism() -> None:
    assert Exchange().begin(b"GSSAPI") == Refused(Reason.UNKNOWN_MECHANISM)
    assert Exchange([]).begin(b"PLAIN") == Refused(Reason.UNKNOWN_MECHANISM)


def test_too_long() -> None:
    assert Exchange().begin(b"PLAIN", b"A" * (MAX_RESPONSE + 4)) == Refused(Reason.TOO_LONG)


def test_an_exchange_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless:
        def start(self, initial: bytes | None) -> Step:
            return Challenge(b"again")

        def respond(self, response: bytes) -> Step:
            return Challenge(b"again")

    monkeypatch.setitem(MAKERS, b"X", lambda bindings: Endless())
    exchange = Exchange([b"X"])
    step = exchange.begin(b"X")
    for _ in range(MAX_STEPS):
        step = exchange.receive(b"")
        assert step == Challenge(b"again")
    assert exchange.receive(b"") == Refused(Reason.MALFORMED)


def test_an_exchange_must_begin() -> None:
    with pytest.raises(RuntimeError):
        Exchange().receive(b"")


def test_credentials_of_login_commands() -> None:
    assert credentials(b"tim", b"tanstaaftanstaaf") == TIM
    assert credentials("gr\u00fcn@example.org".encode(), b"x").identity == "gr\u00fcn@example.org"
    for identity, password in ((b"", b"x"), (b"x", b""), (b"\xff", b"x"), (b"x", b"\xff"), (b"x\r", b"x")):
        with pytest.raises(BadCredentials):
            credentials(identity, password)


def test_a_password_is_never_shown() -> None:
    assert "tanstaaf" not in repr(TIM)


def test_the_table() -> None:
    assert list(OFFERED) == [b"SCRAM-SHA-256-PLUS", b"SCRAM-SHA-256", b"PLAIN", b"LOGIN"]
    assert offered(OFFERED, {}) == OFFERED[1:], "no channel to be bound to"
    assert set(MAKERS) == {*OFFERED, b"SCRAM-SHA-1", b"SCRAM-SHA-1-PLUS"}


name = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=60)


@given(name, st.text(min_size=1, max_size=60).map(lambda text: text.replace("\0", "x")))
def test_round_trips(identity: str, password: str) -> None:
    try:
        octets = b"\0%s\0%s" % (identity.encode(), password.encode())
    except UnicodeEncodeError:
        return
    assert plain(octets) == Credentials(identity, password)
