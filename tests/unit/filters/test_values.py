"""Verdicts, header changes, breakers and the operator's file."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import ConfigurationError
from shared.filters.breaker import FAILURES, PAUSE_FIRST, Breaker, State
from shared.filters.configuration import (
    ClamavConfig,
    CommandConfig,
    MilterConfig,
    Place,
    RspamdConfig,
    WhenDown,
    load_scanners,
)
from shared.filters.endpoint import Endpoint
from shared.filters.fields import apply, field_of, reason_of, told, without_ours
from shared.filters.verdict import decisive, spam_percent, virus_level
from shared.message.envelope import Envelope, Lane, Recipient
from shared.message.verdict import MAX_SYMBOLS, Action, Change, HeaderChange, Verdict

HEADER = b"Received: by x\r\nSubject: one\r\nX-A: 1\r\n  folded\r\nX-A: 2\r\n\r\n"


def changed(*changes: HeaderChange) -> list[bytes]:
    return apply(HEADER, changes).replace(b"\r\n ", b"\n ").split(b"\r\n")[:-2]


def test_changes_of_a_header() -> None:
    assert changed(HeaderChange(Change.ADD, "B", b"x"))[-1] == b"B: x"
    assert changed(HeaderChange(Change.INSERT, "B", b"x", 0))[0] == b"B: x"
    assert changed(HeaderChange(Change.INSERT, "B", b"x", 99))[-1] == b"B: x"
    assert changed(HeaderChange(Change.CHANGE, "x-a", b"new", 2))[-2:] == [b"X-A: 1\n  folded", b"x-a: new"]
    assert changed(HeaderChange(Change.CHANGE, "X-A", b"new", 3))[-1] == b"X-A: new"
    assert changed(HeaderChange(Change.REMOVE, "X-A", index=1))[-1] == b"X-A: 2"
    assert changed(HeaderChange(Change.REMOVE, "X-A"))[-1] == b"Subject: one"
    assert changed(HeaderChange(Change.REMOVE, "X-A", index=9)) == changed()


def test_a_message_without_a_header_gets_one() -> None:
    assert apply(b"\r\nbody", [HeaderChange(Change.ADD, "B", b"x")]) == b"B: x\r\n\r\nbody"
    assert apply(b"", [HeaderChange(Change.ADD, "B", b"x")]) == b"B: x\r\n\r\n"


def test_a_field_never_makes_another_line() -> None:
    assert field_of("X", b"a\r\nEvil: 1\r\n\r\nbody") == b"X: a\r\n Evil: 1\r\n body\r\n"
    assert field_of("X", b"a\n\tb\rc\0") == b"X: a\r\n\tb\r\n c?\r\n"
    assert field_of("X: y\r\nZ", b"1") == b""


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=80).map(lambda octets: octets.replace(b"\n", b"\r\n")),
    st.sampled_from(list(Change)), st.text(max_size=10), st.binary(max_size=40), st.integers(0, 5),
)  # fmt: skip
def test_any_change_keeps_the_header_a_header(header: bytes, change: Change, name: str, value: bytes, at: int) -> None:
    result = apply(header + b"\r\n\r\n" if header else b"\r\n", [HeaderChange(change, name, value, at)])
    assert result.endswith(b"\r\n")
    assert result.count(b"\r\n\r\n") <= (header + b"\r\n\r\n").count(b"\r\n\r\n") + 1


def test_fields_that_tell() -> None:
    symbols = tuple(f"RULE_{number}(1.00)" for number in range(40))
    said = told([
        Verdict("rspamd", Action.TAG, score=7.25, threshold=6.0, symbols=symbols),
        Verdict("clamav", looked_for_viruses=True),
        Verdict("other", failed=True),
    ])  # fmt: skip
    assert said.startswith(b"X-Spam-Flag: YES\r\nX-Spam-Score: 7.25\r\nX-Spam-Status: Yes, score=7.25 required=6.00")
    assert b"\r\nX-Virus-Status: Clean\r\n" in said and said.endswith(b"X-Packetboat-Unscanned: other\r\n")
    assert max(map(len, said.split(b"\r\n"))) <= 78
    assert without_ours(said + HEADER) == HEADER
    assert told([Verdict("x")]) == b""


def test_what_follows_from_several() -> None:
    ham = Verdict("a", score=1.0, threshold=5.0)
    spam = Verdict("b", Action.TAG, score=5.0, threshold=10.0)
    virus = Verdict("c", Action.REJECT, virus="Eicar", looked_for_viruses=True)
    away = Verdict("d", failed=True, looked_for_viruses=True)
    assert decisive([ham, spam, virus, away]) is virus
    assert decisive([]) is None
    assert (spam_percent([]), spam_percent([away]), spam_percent([ham]), spam_percent([ham, spam])) == (
        None,
        None,
        10,
        50,
    )
    assert spam_percent([Verdict("e", Action.TAG)]) == 100
    assert spam_percent([Verdict("e", score=50.0, threshold=5.0)]) == 100
    assert (virus_level([]), virus_level([away]), virus_level([ham, virus])) == (None, None, 5)
    assert virus_level([Verdict("c", looked_for_viruses=True)]) == 1
    assert reason_of([ham, virus]) == "c: virus Eicar"


def test_an_envelope_keeps_verdicts_and_old_records_have_none() -> None:
    verdict = Verdict(
        "r", Action.TAG, symbols=tuple("x" * 60), changes=(HeaderChange(Change.ADD, "X", b"\xff"),), reason="y" * 9999
    )
    envelope = Envelope("i", "s", (Recipient("a@b", Lane.DELIVERY),), 1, verdicts=(verdict.recorded(),))
    again = Envelope.from_json(envelope.to_json())
    assert again == envelope
    assert len(again.verdicts[0].symbols) == MAX_SYMBOLS and not again.verdicts[0].changes
    old = orjson.loads(envelope.to_json())
    del old["verdicts"]
    assert Envelope.from_json(orjson.dumps(old)).verdicts == ()
    newer = orjson.loads(envelope.to_json())
    newer["verdicts"][0] |= {"action": "levitate", "colour": "red"}
    assert Envelope.from_json(orjson.dumps(newer)).verdicts[0].action is Action.NONE


def test_a_breaker_opens_tries_again_and_closes() -> None:
    now = 0.0
    breaker = Breaker(lambda: now)
    for _ in range(FAILURES):
        assert breaker.allows()
        breaker.failed()
    assert breaker.state is State.OPEN and not breaker.allows()
    now += PAUSE_FIRST
    assert breaker.allows() and not breaker.allows()  # one probe at a time
    breaker.gave_up()
    assert breaker.allows()
    breaker.failed()
    assert not breaker.allows()
    now += PAUSE_FIRST
    assert not breaker.allows()  # the pause doubles
    now += PAUSE_FIRST
    assert breaker.allows()
    breaker.succeeded()
    assert breaker.state is State.CLOSED and breaker.allows() and breaker.allows()


def test_the_operators_file(tmp_path: Path) -> None:
    (tmp_path / "1.toml").write_text(
        '[rspamd]\nwhen_down = "hold"\n[virus]\ntype = "clamav"\nat = "mda"\naddress = "/s"\n'
    )
    (tmp_path / "2.toml").write_text(
        '[m]\ntype = "milter"\naddress = "[::1]:8891"\n[c]\ntype = "command"\ncommand = ["/x"]'
    )
    found = load_scanners(tmp_path)
    assert [type(one) for one in found] == [RspamdConfig, ClamavConfig, MilterConfig, CommandConfig]
    assert found[0].when_down is WhenDown.HOLD and found[1].at is Place.MDA and found[1].name == "virus"
    assert load_scanners(None) == ()
    (tmp_path / "3.toml").write_text("[m]\ntype = 'clamav'\n")
    with pytest.raises(ConfigurationError, match="two scanners named m"):
        load_scanners(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rspamd = 3", "rspamd: a scanner is a table"),
        ('[rspamd]\nurl = "rspamd:11333"', "url: a URL begins with http"),
        ('[rspamd]\ntimeout = 0', "timeout: it should be greater than 0"),
        ('[c]\ntype = "command"\ncommand = ["grep"]', "absolute path"),
        ('[c]\ntype = "command"\ncommand = ["/x"]\nexit = { "0" = "reject" }', "exit statuses are 1 to 255"),
        ('[m]\ntype = "milter"', "address: Field required"),
        ("[rspamd]\nlisteners = []", "listeners names one or more of mx"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line_that_names_the_place(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "scanners.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        load_scanners(path)
    assert said in str(raised.value) and str(path) in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["", "host", "host:", ":1", "host:0", "host:99999", "host:x"])
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(ValueError):
        Endpoint.parse(text)


def test_addresses() -> None:
    assert Endpoint.parse("/run/x") == Endpoint(path="/run/x")
    assert Endpoint.parse("[::1]:3310") == Endpoint("::1", 3310)
