"""DATA and BDAT: however the octets are cut into pieces, the same message comes out, and never a smuggled one."""

from __future__ import annotations

import asyncio
import re
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from services.mta.text import DataText
from shared.message.lineends import LineEndChecker
from tests.unit.mta.fakes import FakeMta, Wire

TOKENS = [b"\r", b"\n", b"\r\n", b".", b"..", b"\r\n.", b"\r\n.\r\n", b"\n.\n", b"\r\n.\r", b"\n.\r\n", b"\0", b"x"]
wire_texts = st.lists(st.sampled_from(TOKENS), max_size=20).map(b"".join)
cuts = st.lists(st.integers(0, 60), max_size=6)
EHLO = b"EHLO c.test\r\n"
ENVELOPE = b"MAIL FROM:<x@b.test>\r\nRCPT TO:<alice@a.test>\r\n"


def reference(data: bytes) -> tuple[bytes, bytes] | None:
    """What RFC 5321 §4.5.2 says, by lines that end with CRLF and nothing else."""
    lines: list[bytes] = []
    while (end := data.find(b"\r\n")) >= 0:
        line, data = data[: end + 2], data[end + 2 :]
        if line == b".\r\n":
            return b"".join(lines), data
        lines.append(line[1:] if line.startswith(b".") else line)
    return None


def cut_up(data: bytes, at: list[int]) -> list[bytes]:
    places = [0, *sorted({place for place in at if place < len(data)}), len(data)]
    return [data[a:b] for a, b in pairwise(places)]


def is_clean(text: bytes) -> bool:
    return re.fullmatch(rb"(?:[^\r\n\0]|\r\n)*", text) is not None


@settings(max_examples=1500, deadline=None)
@given(wire_texts, cuts)
def test_data_equals_the_reference(data: bytes, at: list[int]) -> None:
    text, got, expected = DataText(), b"", reference(data)
    pieces = cut_up(data, at)
    for number, piece in enumerate(pieces):
        got += text.feed(piece)
        if text.done:
            assert expected == (got, text.rest + b"".join(pieces[number + 1 :]))
            return
    assert expected is None


@settings(max_examples=1000, deadline=None)
@given(wire_texts, cuts)
def test_line_ends_equal_a_regular_expression(data: bytes, at: list[int]) -> None:
    checker = LineEndChecker()
    for piece in cut_up(data, at):
        checker.feed(piece)
    assert (checker.finish() is None) == is_clean(data)


@settings(max_examples=150, deadline=None)
@given(wire_texts, cuts)
def test_a_session_takes_what_is_clean_and_refuses_the_rest(data: bytes, at: list[int]) -> None:
    """Octets after a text that has not ended, or has, are never taken for anything else."""
    assert reference(data) is not None or b"\r\n.\r\n" not in b"\r\n" + data
    ended = data if reference(data) is not None else data + b"\r\n.\r\n"
    expected = reference(ended)
    assert expected is not None
    text, rest = expected
    entries, replies = asyncio.run(_session(EHLO + ENVELOPE + b"DATA\r\n", cut_up(ended, at)))
    code = b"250" if is_clean(text) else b"550"
    assert replies[:3] == code
    assert entries[:1] == ([text] if code == b"250" else [])
    assert len(entries) <= 1, rest


@settings(max_examples=150, deadline=None)
@given(st.lists(wire_texts, min_size=1, max_size=5), cuts)
def test_chunks_are_taken_octet_by_octet(chunks: list[bytes], at: list[int]) -> None:
    commands = [b"BDAT %d\r\n" % len(chunk) + chunk for chunk in chunks[:-1]]
    commands.append(b"BDAT %d LAST\r\n" % len(chunks[-1]) + chunks[-1])
    stream = b"".join(commands) + b"NOOP\r\n"
    entries, replies = asyncio.run(_session(EHLO + ENVELOPE, cut_up(stream, at)))
    text = b"".join(chunks)
    assert entries == ([text] if is_clean(text) else [])
    lines = replies.split(b"\r\n")
    assert len(lines) == len(chunks) + 2 and lines[-2] == b"250 2.0.0 Ok"
    assert (lines[-3][:3] == b"250") is is_clean(text)


async def _session(opening: bytes, pieces: list[bytes]) -> tuple[list[bytes], bytes]:
    """Return the accepted messages less their Received field, and the replies after the opening's."""
    mta = FakeMta()
    wire: Wire = mta.connect()
    await wire.send(opening)
    replies = b""
    for piece in pieces:
        replies += await wire.send(piece)
    await wire.hang_up()
    return [_without_received(data) for _, data in mta.journal.entries], replies


def _without_received(data: bytes) -> bytes:
    match = re.match(rb"Received: [^\r\n]*\r\n(?:\t[^\r\n]*\r\n)*", data)
    assert match is not None
    return data[match.end() :]
