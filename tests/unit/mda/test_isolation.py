"""Parsing in a subprocess, and the form that needs no parser."""

from __future__ import annotations

import pytest

from services.mda.isolation import IsolationFailed, decode, encode, render_isolated
from services.mda.unparsed import unparsed
from shared.message.parts import decode_parts, section
from shared.message.rendered import render

MESSAGE = b"Subject: =?utf-8?q?=C3=A4?=\r\nDate: Mon, 23 Nov 2026 10:00:00 +0100\r\n\r\n\xff\x00body\r\n"


def test_what_is_rendered_survives_the_pipe():
    assert decode(encode(render(MESSAGE))) == render(MESSAGE)


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"envelope": 1}', encode(render(b""))[:-3]])
def test_nonsense_is_refused(answer):
    with pytest.raises(IsolationFailed):
        decode(answer)


async def test_a_subprocess_renders_the_same():
    assert await render_isolated(MESSAGE, 30) == render(MESSAGE)


async def test_a_subprocess_that_takes_too_long_is_killed():
    with pytest.raises(IsolationFailed):
        await render_isolated(MESSAGE, 0.001)


@pytest.mark.parametrize("message", [MESSAGE, b"", b"no end of headers", b"\r\n\r\n", b"\x00" * 1000])
def test_unparsed_messages_have_one_part_of_plain_text(message):
    shown = unparsed(message)
    assert shown.size == len(message)
    assert b'"text" "plain"' in shown.bodystructure.lower()
    assert decode_parts(shown.parts).children == ()
    place = section(shown.parts, (1,))
    assert place is not None and place.body_end == len(message) and place.body_start == shown.header_size
    assert shown.envelope.startswith(b"(NIL NIL")
