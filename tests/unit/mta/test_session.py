"""What transcripts can't show: time, the end of connections, draining, failures behind the session."""

from __future__ import annotations

import asyncio

from services.mta.client import Role
from services.mta.limits import MAX_AUTH_LINE, MAX_LINE, Limits
from shared.errors import TemporaryFailure
from shared.journal.errors import JournalFull
from shared.journal.record import LARGE_THRESHOLD
from tests.unit.mta.fakes import FakeMta

ENVELOPE = (b"HELO c.test", b"MAIL FROM:<x@b.test>", b"RCPT TO:<alice@a.test>")
SHORT = Limits(command_time=0.2, message_time=0.5)


async def test_replies_wait_while_there_is_more_to_read() -> None:
    wire = FakeMta().connect()
    await wire.settle()
    writes: list[bytes] = []
    wire.transport.write = writes.append  # type: ignore[method-assign, assignment]
    await wire.send(b"\r\n".join((*ENVELOPE, b"DATA\r\n")))
    assert [write.count(b"\r\n") for write in writes] == [4]
    await wire.send(b"text\r\n.\r\nRSET\r\nQUIT\r\n")
    assert [write.count(b"\r\n") for write in writes] == [4, 3]


async def test_lines_too_long() -> None:
    wire = FakeMta().connect()
    assert await wire.dialogue(
        b"NOOP " + b"x" * (MAX_LINE - 7),
        b"NOOP " + b"x" * (MAX_LINE - 6),
        b"NOOP " + b"x" * 300_000,
        b"NOOP",
    ) == [b"220", b"250", b"500", b"500", b"250"]


async def test_auth_lines_may_be_longer() -> None:
    wire = FakeMta(plaintext_auth=True).connect(Role.SUBMISSION)
    codes = await wire.dialogue(
        b"EHLO c", b"AUTH PLAIN " + b"A" * 8000, b"AUTH PLAIN", b"A" * (MAX_AUTH_LINE + 1), b"NOOP"
    )
    assert codes == [b"220", b"250", b"501", b"334", b"500", b"250"]


async def test_too_many_connections() -> None:
    mta = FakeMta(limits=Limits(connections=3, connections_per_ip=2))
    wires = [mta.connect() for _ in range(3)]
    assert [(await wire.settle())[:3] for wire in wires] == [b"220", b"220", b"421"]
    assert wires[2].transport.closed and mta.desk.gate.open == 2
    await wires[0].hang_up()
    assert (await mta.connect().settle()).startswith(b"220")
    assert (await mta.connect(ip="2001:db8::1").settle()).startswith(b"220")
    assert (await mta.connect(ip="2001:db8::2").settle()).startswith(b"421")


async def test_silence_ends_the_session() -> None:
    wire = FakeMta(limits=SHORT).connect()
    await wire.settle()
    await asyncio.sleep(0.03)
    assert await wire.send(b"NOOP\r\n") == b"250 2.0.0 Ok\r\n"
    await asyncio.sleep(0.03)
    assert not wire.transport.closed
    await asyncio.sleep(0.3)
    assert await wire.settle() == b"421 4.4.2 Timeout\r\n"
    assert wire.transport.closed and wire.session._desk.sessions == set()


async def test_a_slow_text_may_go_on_but_not_for_ever() -> None:
    # silences well below the one limit and, together, well below and then beyond the other: machines are busy
    wire = FakeMta(limits=Limits(command_time=0.6, message_time=2.0)).connect()
    await wire.dialogue(*ENVELOPE, b"DATA")
    for _ in range(4):
        await asyncio.sleep(0.2)
        assert await wire.send(b"slow\r\n") == b""
    for _ in range(5):
        await asyncio.sleep(0.25)
        said = await wire.send(b"slow\r\n")
        if said:
            break
    assert said == b"421 4.4.2 Timeout\r\n"
    assert wire.transport.closed


async def test_our_own_slowness_is_not_the_clients() -> None:
    mta = FakeMta(limits=SHORT)
    mta.journal.gate = asyncio.Event()
    wire = mta.connect()
    await wire.dialogue(*ENVELOPE, b"DATA", b"text\r\n.")
    await asyncio.sleep(0.3)
    assert not wire.transport.closed
    mta.journal.gate.set()
    assert (await wire.settle()).startswith(b"250 2.0.0 Ok: queued as ")


async def test_a_client_that_goes_in_the_middle_of_the_text() -> None:
    mta = FakeMta()
    wire = mta.connect()
    await wire.dialogue(*ENVELOPE, b"DATA")
    await wire.send(b"x" * (LARGE_THRESHOLD + 1))
    await wire.hang_up()
    assert mta.journal.uploads[0].aborted
    assert (mta.journal.entries, mta.items, mta.desk.sessions, mta.desk.gate.open) == ([], [], set(), 0)


async def test_a_client_that_goes_while_its_message_is_written() -> None:
    mta = FakeMta()
    mta.journal.gate = asyncio.Event()
    wire = mta.connect()
    await wire.dialogue(*ENVELOPE, b"DATA", b"text\r\n.")
    await wire.hang_up()
    assert wire.session in mta.desk.sessions  # a draining worker waits for it
    mta.journal.gate.set()
    await wire.settle()
    assert len(mta.journal.entries) == len(mta.items) == 1
    assert mta.desk.sessions == set()


async def test_half_closed_after_a_whole_session() -> None:
    mta = FakeMta()
    wire = mta.connect()
    wire.session.data_received(b"\r\n".join((*ENVELOPE, b"DATA", b"text", b".", b"QUIT\r\n")))
    assert wire.session.eof_received() is True
    written = await wire.settle()
    assert written.count(b"\r\n250 ") == 4 and written.endswith(b"221 2.0.0 Bye\r\n")
    assert len(mta.journal.entries) == 1


async def test_volume_full_is_told_at_mail_and_the_session_goes_on() -> None:
    mta = FakeMta()
    mta.journal.full = JournalFull("the mail volume is full")
    wire = mta.connect()
    assert await wire.dialogue(*ENVELOPE) == [b"220", b"250", b"452", b"503"]
    mta.journal.full = None
    mta.journal.failure = TemporaryFailure("the mail volume failed")
    assert await wire.send(b"MAIL FROM:<>\r\nRCPT TO:<bob@a.test>\r\nDATA\r\n.\r\n") == (
        b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n451 4.3.0 the mail volume failed\r\n"
    )
    mta.journal.failure = None
    written = await wire.send(b"MAIL FROM:<>\r\nRCPT TO:<bob@a.test>\r\nDATA\r\n.\r\n")
    assert b"250 2.0.0 Ok: queued" in written
    assert len(mta.items) == 1


async def test_a_mistake_of_ours_is_a_451_without_details() -> None:
    mta = FakeMta()
    mta.journal.failure = RuntimeError("secret path")  # type: ignore[assignment]
    wire = mta.connect()
    codes = await wire.dialogue(*ENVELOPE, b"DATA", b".", b"NOOP")
    assert codes == [b"220", b"250", b"250", b"250", b"354", b"451", b"250"]
    assert mta.items == []


async def test_messages_per_hour() -> None:
    mta = FakeMta(limits=Limits(messages_per_hour=1), plaintext_auth=True)
    wire = mta.connect(Role.SUBMISSION)
    await wire.dialogue(b"EHLO c", b"AUTH PLAIN AGFsaWNlQGEudGVzdABzZWNyZXQ=")
    message = b"MAIL FROM:<alice@a.test>\r\nRCPT TO:<bob@a.test>\r\nDATA\r\n"
    assert b"354" in await wire.send(message) and b"250 2.0.0" in await wire.send(b".\r\n")
    assert b"\r\n450 4.7.1 " in await wire.send(message)
    assert (await wire.send(b"BDAT 4\r\nRSET")).startswith(b"450 4.7.1 ")
    assert (await wire.send(b"BDAT 4 LAST\r\nRSET")).startswith(b"503 ")
    assert len(mta.journal.entries) == 1


async def test_draining_tells_the_idle_at_once_and_the_others_after_their_message() -> None:
    mta = FakeMta()
    idle, early, late = (mta.connect() for _ in range(3))
    await idle.dialogue(b"HELO c.test")
    await early.dialogue(*ENVELOPE)
    await late.dialogue(*ENVELOPE, b"DATA", b"half of")
    for session in list(mta.desk.sessions):
        session.wind_down()
    assert await idle.settle() == b"421 4.3.2 Shutting down, try again\r\n"
    assert idle.transport.closed and not early.transport.closed
    assert await early.send(b"RSET\r\n") == b"250 2.0.0 Ok\r\n421 4.3.2 Shutting down, try again\r\n"
    written = await late.send(b"it\r\n.\r\n")
    assert written.startswith(b"250 2.0.0 Ok: queued") and written.endswith(b"421 4.3.2 Shutting down, try again\r\n")
    assert mta.desk.sessions == set() and len(mta.journal.entries) == 1


async def test_draining_ends_in_cutting_off() -> None:
    mta = FakeMta()
    wire = mta.connect()
    await wire.dialogue(*ENVELOPE, b"DATA", b"half of")
    wire.session.wind_down()
    wire.session.cut_off()
    assert await wire.settle() == b"421 4.3.2 Shutting down, try again\r\n"
    assert mta.desk.sessions == set() and mta.journal.entries == []


async def test_errors_are_forgiven_by_an_accepted_message() -> None:
    mta = FakeMta(limits=Limits(errors=3))
    wire = mta.connect()
    for _ in range(3):
        await wire.dialogue(b"X", b"X", *ENVELOPE, b"DATA", b".")
    assert not wire.transport.closed
    assert len(mta.journal.entries) == 3


async def test_large_messages_go_to_their_file() -> None:
    mta = FakeMta()
    wire = mta.connect()
    await wire.dialogue(*ENVELOPE, b"DATA")
    text = b"Subject: x\r\n\r\n" + (b"." + b"x" * 97 + b"\r\n") * 4000
    wire_text = text.replace(b"\r\n.", b"\r\n..") + b".\r\n"
    pieces = [wire_text[at : at + 50_001] for at in range(0, len(wire_text), 50_001)]
    replies = [await wire.send(piece) for piece in pieces]
    assert replies[-1].startswith(b"250 2.0.0 Ok") and not any(replies[:-1])
    [upload] = mta.journal.uploads
    assert mta.journal.entries[0][1].endswith(text) and text.endswith(b"".join(upload.pieces))
    assert not upload.aborted
