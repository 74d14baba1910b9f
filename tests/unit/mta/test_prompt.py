"""What is obeyed at once is answered as it would be by the session's task."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.mta.client import Role
from services.mta.limits import Limits
from tests.unit.mta.fakes import FakeMta

LINES = (
    b"EHLO c.test\r\n",
    b"MAIL FROM:<x@b.test>\r\n",
    b"MAIL FROM:<> SIZE=100\r\n",
    b"MAIL FROM:<x@b.test> SIZE=999999999\r\n",
    b"mail from:<x@b.test>\r\n",
    b"RCPT TO:<alice@a.test>\r\n",
    b"RCPT TO:<bob@a.test>\r\n",
    b"RCPT TO:<nobody@a.test>\r\n",
    b"RCPT TO:<x@elsewhere.test>\r\n",
    b"RCPT TO:<alice@a.test> BAD\r\n",
    b"RCPT TO:<postmaster>\r\n",
    b"DATA\r\n",
    b"DATA x\r\n",
    b"Subject: s\r\n\r\n..text\r\n.\r\n",
    b".\r\n",
    b"RSET\r\n",
    b"BDAT 5 LAST\r\nab\r\n\r",
    b"NOOP\n",
    b"MAIL FROM:<x\0@b.test>\r\n",
    b"QUIT\r\n",
)


async def _said(pieces: list[bytes], role: Role, *, prompt: bool) -> tuple[list[bytes], list[bytes]]:
    """Return the replies' codes, and the messages taken over."""
    mta = FakeMta(limits=Limits(recipients=2, errors=6, commands=14), trusted=("192.0.2.7",))
    wire = mta.connect(role, prompt=prompt)
    said = await wire.settle()
    for piece in pieces:
        said += await wire.send(piece)
    await wire.hang_up()
    messages = [content.partition(b"\r\n\r\n")[2] for _, content in mta.journal.entries]
    return [line[:4] for line in said.splitlines()], messages


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(LINES), min_size=1, max_size=14),
    st.lists(st.integers(1, 60), max_size=12),
    st.sampled_from([Role.MX, Role.SUBMISSION]),
)
def test_same_replies_however_it_arrives(lines: list[bytes], cuts: list[int], role: Role) -> None:
    """Lines together, one by one, or cut anywhere."""
    data, pieces = b"".join([LINES[0], *lines]), []
    for cut in cuts:
        pieces.append(data[:cut])
        data = data[cut:]
    pieces = [piece for piece in (*pieces, data) if piece]
    for arrival in (pieces, [LINES[0], *lines]):
        at_once = asyncio.run(_said(arrival, role, prompt=True))
        assert at_once == asyncio.run(_said(arrival, role, prompt=False))


async def test_replies_need_no_task() -> None:
    """MAIL, RCPT and DATA have their replies before the loop turns."""
    wire = FakeMta().connect()
    await wire.dialogue(b"EHLO c.test")
    for command, reply in ((LINES[1], b"250 2.1.0"), (LINES[5], b"250 2.1.5"), (b"DATA\r\n", b"354 ")):
        wire.session.data_received(command)
        assert wire.transport.written.startswith(reply)
        wire.transport.written = b""
    assert (await wire.send(b"Subject: s\r\n\r\ntext\r\n.\r\n")).startswith(b"250 2.0.0 Ok: queued as ")


async def test_text_that_never_ends_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time for a message runs from its 354."""
    mta = FakeMta(limits=Limits(message_time=100.0))
    wire = mta.connect()
    await wire.dialogue(b"EHLO c.test", b"MAIL FROM:<x@b.test>", b"RCPT TO:<alice@a.test>", b"DATA")
    now = asyncio.get_running_loop().time()
    monkeypatch.setattr(wire.session.loop, "time", lambda: now + 101)
    assert (await wire.send(b"x\r\n")).startswith(b"421 4.4.2")
    assert wire.transport.closed
