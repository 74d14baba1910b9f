"""Mail of accounts that have it elsewhere: a Maildir, an mbox, an LMTP server, a command."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from services.mda import handing
from services.mta import replies
from shared.errors import ConfigurationError
from shared.mailbox import maildir, mbox
from shared.message.envelope import Lane, Recipient
from shared.operations import targets
from shared.operations.actor import Actor
from shared.operations.targets import Way, make_target

ACTOR = Actor("test")
BODY = b"Subject: hello\r\nMessage-ID: <m@out.test>\r\n\r\nHello.\r\n"


async def send_to(
    office, way: Way, *words: str, account: str = "ann@b.test", domain: str = "", seconds: int = 30
) -> None:
    target = make_target(way, list(words), seconds)
    await office.database.write(targets.put, ACTOR, account or domain, target, time.time_ns() // 1000)


async def work(office) -> None:
    """Until nothing is under way any more, not even children."""
    for _ in range(4):
        await office.work()
        await office.courier._handing.settle()
        await office.push()


def files(path: Path) -> list[bytes]:
    return [file.read_bytes() for sub in ("new", "cur") for file in sorted((path / sub).iterdir())]


class LmtpSink:
    """An LMTP server that answers as it is told."""

    def __init__(self) -> None:
        self.replies: list[bytes] = []
        self.rcpt = b"250 2.1.5 Ok"
        self.messages: list[bytes] = []
        self.lines: list[bytes] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.greeting = b"220 sink LMTP"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        writer.write(self.greeting + b"\r\n")
        while line := await reader.readline():
            self.lines.append(line.strip())
            verb = line[:4].upper()
            if verb == b"LHLO":
                writer.write(b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n")
            elif verb == b"RCPT":
                writer.write(self.rcpt + b"\r\n")
            elif verb == b"DATA":
                if not self.rcpt.startswith(b"2"):
                    writer.write(b"503 5.5.1 No recipients\r\n")
                    continue
                writer.write(b"354 Go\r\n")
                text = await reader.readuntil(b"\r\n.\r\n")
                reply = self.replies.pop(0) if self.replies else b"250 2.1.5 Saved"
                if reply.startswith(b"250"):
                    self.messages.append(text)
                writer.write(reply + b"\r\n")
            else:
                writer.write(b"250 2.0.0 Ok\r\n")
        writer.close()


@pytest.fixture
async def sink() -> AsyncIterator[tuple[LmtpSink, str]]:
    sink = LmtpSink()
    server = await asyncio.start_server(sink.serve, "127.0.0.1", 0)
    yield sink, f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "program.py"
        path.write_text(f"#!{sys.executable}\nimport os, sys, time\n{text}\n")
        path.chmod(0o755)
        return str(path)

    return write


async def test_a_maildir_gets_each_message_once(office, tmp_path):
    await office.account("ann")
    await office.account("bob")
    await send_to(office, Way.MAILDIR, str(tmp_path / "{domain}" / "{local}"))
    item = await office.accept("ann", "bob", message=BODY)
    await work(office)
    [message] = files(tmp_path / "b.test" / "ann")
    assert message.startswith(b"Return-Path: <a@out.test>\nDelivered-To: ann@b.test\nSubject: hello\n")
    assert await office.inbox("ann") == []
    assert len(await office.inbox("bob")) == 1
    assert await office.ledger(item.entry) == {"ann@b.test": "handed on", "bob@b.test": "delivered"}
    rows = await office.query("SELECT outcome FROM ledger WHERE entry <> :entry", entry=item.entry)
    assert [row["outcome"] for row in rows] == ["delivered"]
    assert await office.depth() == (0, 0, 0)


async def test_what_a_process_left_that_died_is_replaced_though_it_was_read(office, tmp_path, monkeypatch):
    await office.account("ann")
    await send_to(office, Way.MAILDIR, str(tmp_path / "m"))
    await office.accept("ann", message=BODY)
    with monkeypatch.context() as patch:
        patch.setattr(handing.Handing, "_record", _failing)
        await work(office)
    [new] = (tmp_path / "m" / "new").iterdir()
    new.rename(tmp_path / "m" / "cur" / f"{new.name}:2,S")
    lease_ms, office.queue.lease_ms = office.queue.lease_ms, 0
    leases = await office.queue.reclaim(Lane.DELIVERY, 10)
    office.queue.lease_ms = lease_ms
    assert [lease.deliveries for lease in leases] == [2]
    await office.courier.work(leases)
    await office.courier._handing.settle()
    assert len(files(tmp_path / "m")) == 1
    assert await office.depth() == (0, 0, 0)


async def _failing(*_: object) -> None:
    raise RuntimeError("the process dies")


async def test_an_mbox_and_a_domain(office, tmp_path):
    await office.account("ann")
    await office.account("b/ob")
    await send_to(office, Way.MBOX, str(tmp_path / "{local}"), account="", domain="b.test")
    await send_to(office, Way.STORE, account="ann@b.test")
    await office.accept("ann", Recipient("b/ob@b.test", Lane.DELIVERY), message=BODY)
    await work(office)
    assert len(await office.inbox("ann")) == 1
    with mbox.reading(tmp_path / "b%2Fob") as found:
        [message] = found
    assert message.data.endswith(BODY)


async def test_lmtp_takes_defers_and_refuses(office, sink):
    server, place = sink
    await office.account("ann")
    await send_to(office, Way.LMTP, place)
    await office.accept("ann", message=BODY)
    await work(office)
    [text] = server.messages
    assert text.startswith(b"Delivered-To: ann@b.test\r\nSubject: hello\r\n")
    assert b"RCPT TO:<ann@b.test>" in server.lines
    server.replies = [b"451 4.2.0 Later"]
    await office.accept("ann", message=BODY)
    await work(office)
    [row] = await office.query("SELECT entry, attempts, held, reason FROM pending")
    assert (row["attempts"], row["held"]) == (1, 0)
    assert "4.2.0 Later" in row["reason"]
    assert await office.depth() == (0, 0, 1)
    await office.queue.promote(time.time() + 3600, 10)
    await work(office)
    assert await office.query("SELECT entry FROM pending") == []
    assert len(server.messages) == 2
    server.replies = [b"550 5.2.2 Full"]
    item = await office.accept("ann", message=BODY)
    await work(office)
    [(bounce, report)] = await office.relayed()
    assert (bounce.sender, bounce.recipients[0].address) == ("", "a@out.test")
    assert b"5.2.2" in report
    assert await office.ledger(item.entry) == {"ann@b.test": "handed on"}
    assert await office.depth() == (0, 0, 0)


async def test_connections_serve_for_many_and_a_server_that_closes_them_loses_nothing(office, sink):
    server, place = sink
    await office.account("ann")
    await send_to(office, Way.LMTP, place)
    for _ in range(3):
        await office.accept("ann", message=BODY)
        await work(office)
    assert len(server.messages) == 3
    assert sum(line.startswith(b"LHLO") for line in server.lines) == 1
    for writer in server.writers:
        writer.close()
    await office.accept("ann", message=BODY)
    await work(office)
    assert len(server.messages) == 4
    assert await office.query("SELECT entry FROM pending") == []


async def test_what_a_server_says_of_the_session_is_no_bounce(office, sink):
    server, place = sink
    server.greeting = b"554 5.3.2 Not now"
    await office.account("ann")
    await send_to(office, Way.LMTP, place)
    await office.accept("ann", message=BODY)
    await work(office)
    [row] = await office.query("SELECT reason FROM pending")
    assert "Not now" in row["reason"]


async def test_our_own_lmtp_gets_nothing(office, sink):
    server, place = sink
    server.greeting = replies.greeting("localhost", "LMTP")
    await office.account("ann")
    await send_to(office, Way.LMTP, place)
    await office.accept("ann", message=BODY)
    await work(office)
    [row] = await office.query("SELECT reason FROM pending")
    assert "this mail system itself" in row["reason"]
    assert not any(line.startswith(b"MAIL") for line in server.lines)


async def test_a_server_that_is_away_defers_and_time_runs_out(office):
    await office.account("ann")
    await send_to(office, Way.LMTP, "127.0.0.1:1")
    await office.accept("ann", message=BODY)
    await work(office)
    assert len(await office.query("SELECT entry FROM pending")) == 1
    old = int((time.time() - handing.EXPIRY - 1) * 1_000_000)
    await office.accept("ann", message=BODY, received_at=old)
    await work(office)
    [(_, report)] = await office.relayed()
    assert b"5.4.7" in report
    assert len(await office.query("SELECT entry FROM pending")) == 1


async def test_a_command_gets_the_message_and_its_status_counts(office, program, tmp_path):
    await office.account("ann")
    path = program(
        "data = sys.stdin.buffer.read()\n"
        f"open({str(tmp_path / 'got')!r}, 'ab').write(data)\n"
        "print('said', os.environ['RECIPIENT'], sys.argv[1])\n"
        "sys.exit(67 if b'refuse' in data else 75 if b'later' in data else 0)"
    )
    await send_to(office, Way.COMMAND, path, "{domain}")
    await office.accept("ann", message=BODY)
    await work(office)
    assert (tmp_path / "got").read_bytes().endswith(BODY)
    [row] = await office.query("SELECT detail FROM ledger WHERE outcome = 'delivered'")
    assert "said ann@b.test b.test" in row["detail"]
    await office.accept("ann", message=BODY + b"later\r\n")
    await office.accept("ann", message=BODY + b"refuse\r\n")
    await work(office)
    assert len(await office.query("SELECT entry FROM pending")) == 1
    [(_, report)] = await office.relayed()
    assert b"5.1.1" in report


async def test_a_command_that_hangs_is_stopped_and_holds_up_nobody(office, program):
    await office.account("ann")
    await office.account("bob")
    await send_to(office, Way.COMMAND, program("time.sleep(60)"), seconds=1)
    await office.accept("ann", message=BODY)
    await office.work()
    await office.accept("bob", message=BODY)
    began = time.monotonic()
    await office.work()
    assert len(await office.inbox("bob")) == 1
    assert time.monotonic() - began < 1
    await office.courier._handing.settle()
    [row] = await office.query("SELECT reason FROM pending")
    assert "took over 1 s" in row["reason"]


async def test_success_is_reported_once_it_is_there(office, tmp_path):
    await office.account("ann")
    await send_to(office, Way.MAILDIR, str(tmp_path / "m"))
    await office.accept(Recipient("ann@b.test", Lane.DELIVERY, notify="SUCCESS"), message=BODY)
    await work(office)
    [(_, report)] = await office.relayed()
    assert b"Action: delivered" in report


async def test_who_gets_a_mailbox_here_again_gets_what_was_waiting(office):
    await office.account("ann")
    await send_to(office, Way.LMTP, "127.0.0.1:1")
    await office.accept("ann", message=BODY)
    await work(office)
    await office.database.write(targets.remove, ACTOR, "ann@b.test", time.time_ns() // 1000)
    office.courier._targets._none_until = 0.0
    await office.queue.promote(time.time() + 3600, 10)
    await work(office)
    assert len(await office.inbox("ann")) == 1
    assert await office.query("SELECT entry FROM pending") == []


async def test_listing_and_mistakes(office):
    await office.account("ann")
    await send_to(office, Way.LMTP, "[::1]:24")
    await send_to(office, Way.COMMAND, "/bin/cat", account="", domain="b.test")
    listed, _ = await office.database.read(targets.page_of_targets, ACTOR, None, 10)
    assert [(one["whose"], one["kind"], one["place"]) for one in listed] == [
        ("ann@b.test", "lmtp", ["[::1]:24"]),
        ("b.test", "command", ["/bin/cat"]),
    ]
    audit = await office.query("SELECT action FROM audit ORDER BY id")
    assert [row["action"] for row in audit] == ["target.set", "target.set"]
    for way, words in (
        (Way.MAILDIR, ["relative"]),
        (Way.MAILDIR, []),
        (Way.MBOX, ["/a", "/b"]),
        (Way.MBOX, ["/{user}"]),
        (Way.LMTP, ["host"]),
        (Way.LMTP, ["host:99999"]),
        (Way.COMMAND, ["cat"]),
    ):
        with pytest.raises(ConfigurationError):
            make_target(way, words)
    assert targets.filled("/m/{local}", "..@b.test") == "/m/%2E."
    assert maildir.folder_path(Path("/m"), "INBOX") == Path("/m")
