"""MAIL, RCPT and BDAT lines, and whole command streams: a value or a refusal with a code, never a traceback."""

from __future__ import annotations

import asyncio
import random
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from services.mta.client import Role
from services.mta.commands import Mail, parse_bdat, parse_mail, parse_rcpt
from services.mta.limits import Limits
from shared.address import parse_address
from shared.errors import PermanentFailure
from tests.unit.mta.fakes import FakeMta

SEEDS = [
    "FROM:<x@b.test> SIZE=100 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb AUTH=<>",
    'FROM:<"a \\" b"@b.test>',
    "FROM:<@r.test,@s.test:x@[IPv6:2001:db8::1]>",
    "FROM:<> SIZE=0",
    "TO:<jörg@bücher.test> NOTIFY=SUCCESS,DELAY ORCPT=utf-8;jörg@b.test",
    "TO:<Postmaster>",
    "TO:<x@b.test> ORCPT=rfc822;x+40b.test NOTIFY=NEVER",
    "12345 LAST",
]
ALPHABET = '<>"\\@.,:;=+ \tA\u00e9\udcff\x00[]-0' + "FROM"
addresses = st.from_regex(r"\A[a-z0-9!#$%&'*/=?^_`{|}~+-]{1,20}@[a-z]{1,10}\.test\Z")


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A seed with some characters changed, inserted or cut."""
    rng = random.Random(draw(st.integers()))
    text = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(0, 6))):
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice(["", rng.choice(ALPHABET), text[at:] * 2]) + text[at + rng.randrange(3) :]
    return text[:5000]


@settings(max_examples=2000, deadline=500)
@given(mutated(), st.booleans())
def test_parsers_refuse_with_a_code(text: str, flag: bool) -> None:
    for parse in (
        lambda: parse_mail(text, extended=flag),
        lambda: parse_rcpt(text, smtputf8=flag),
        lambda: parse_bdat(text),
    ):
        try:
            parse()
        except PermanentFailure as failure:
            assert failure.code in (501, 553, 555) and failure.status.startswith("5.")


@settings(max_examples=300)
@given(addresses, st.integers(0, 10**12), st.sampled_from(["", "FULL", "HDRS"]), st.booleans())
def test_what_is_written_is_read(address: str, size: int, ret: str, eight_bit: bool) -> None:
    words = [f"FROM:<{address}>", f"SIZE={size}"]
    words += [f"RET={ret}"] if ret else []
    words += ["BODY=8BITMIME"] if eight_bit else []
    expected = Mail(parse_address(address), size=size, ret=ret, eight_bit=eight_bit)
    assert parse_mail(" ".join(words)) == expected


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.sampled_from(["EHLO c", "HELO c", "RSET", "DATA", "QUIT", "NOOP", "AUTH LOGIN", "AUTH PLAIN AA==", "."]),
            mutated().map(lambda text: f"MAIL {text}"),
            mutated().map(lambda text: f"RCPT {text}"),
            st.sampled_from(["BDAT 3", "BDAT 0 LAST", "BDAT 5 LAST", "BDAT 99999999999"]),
            st.text(max_size=30),
        ),
        max_size=25,
    ),
    st.sampled_from(list(Role)),
)
def test_streams_of_commands(lines: list[str], role: Role) -> None:
    replies = asyncio.run(_replies(lines, role))
    for line in replies.split(b"\r\n")[:-1]:
        assert re.match(rb"[2-5]\d\d[ -][ -~]*\Z", line), line
        assert not line.startswith(b"451 4.3.0"), line  # an exception of ours


async def _replies(lines: list[str], role: Role) -> bytes:
    mta = FakeMta(limits=Limits(errors=100), plaintext_auth=True, trusted=("192.0.2.0/24",))
    wire = mta.connect(role)
    replies = await wire.settle()
    for line in ["EHLO c", *lines]:
        replies += await wire.send(line.encode("utf-8", "surrogateescape" if _escapable(line) else "replace") + b"\r\n")
    await wire.hang_up()
    assert mta.desk.sessions == set()
    return replies


def _escapable(text: str) -> bool:
    return all(not "\ud800" <= c <= "\udfff" or "\udc80" <= c <= "\udcff" for c in text)
