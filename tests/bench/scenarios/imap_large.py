"""imap-envelope, -flags, -body, -search, -move: one mailbox of 10,000 messages of 5 KB."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from tests.bench.accounts import ACCOUNTS
from tests.bench.corpus import ABSENT_WORD, SEARCH_WORD, corpus
from tests.bench.drivers.imap import ImapReader, load
from tests.bench.scenario import Better, Meter, Row, Sample, Samples, Scenario, Setting, milliseconds, repeated
from tests.bench.scenarios.sides import BOTH_FORMATS, packetboat
from tests.bench.server import Server
from tests.tools.processes import drop_page_cache

READER = ACCOUNTS[0]
MAIL_SIZE = 5000
ENVELOPE = b"FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)"
FLAGS = b"FETCH 1:* (FLAGS)"
BODY = b"FETCH 1:* (BODY.PEEK[])"
MOVED = "Moved"


def prepare(server: Server, setting: Setting) -> None:
    """Fill the mailbox, then read it once in each way, so that Dovecot has cached what it caches."""
    _fill(server, setting)
    server.start()
    reader = open_mailbox(server, setting)
    for command in (ENVELOPE, FLAGS, BODY):
        reader.command(command)
    reader.close()
    server.stop()


def measure_envelope(server: Server, setting: Setting) -> Samples:
    """Milliseconds of the FETCH that lists a mailbox, in three states.

    Cold: never listed since the mail arrived, restarted, page cache dropped. Warm: listed just before.
    Reopened: listed in its life (Dovecot's cache file is filled), restarted, page cache dropped.
    """
    _fill(server, setting)
    cold, warm = _list_after_restart(server, setting)
    reopened, _ = _list_after_restart(server, setting)
    return {"imap-envelope-cold": cold, "imap-envelope": warm, "imap-envelope-reopened": reopened}


def _list_after_restart(server: Server, setting: Setting) -> tuple[Sample, Sample]:
    drop_page_cache()
    server.start()
    reader = open_mailbox(server, setting)
    cold = _fetch(reader, ENVELOPE, server, setting, once=True)
    warm = _fetch(reader, ENVELOPE, server, setting)
    reader.close()
    server.stop()
    return cold, warm


def measure_fetch(row: str, command: bytes, server: Server, setting: Setting) -> Samples:
    """Milliseconds from the command to its OK, when it has been given before."""
    server.start()
    reader = open_mailbox(server, setting)
    reader.command(command)
    sample = _fetch(reader, command, server, setting)
    reader.close()
    server.stop()
    return {row: sample}


def _fill(server: Server, setting: Setting) -> None:
    server.reset()
    server.start()
    load(server.imap, READER, list(corpus(setting.sizes.mailbox, MAIL_SIZE)))
    server.stop()


def open_mailbox(server: Server, setting: Setting) -> ImapReader:
    """Log in and select the mailbox, which has to be whole."""
    reader = ImapReader(server.imap, READER)
    found = reader.select("INBOX")
    if found != setting.sizes.mailbox:
        raise AssertionError(f"{server.name}: {found} messages in the mailbox")
    return reader


def _fetch(reader: ImapReader, command: bytes, server: Server, setting: Setting, *, once: bool = False) -> Sample:
    with Meter(server, setting.work) as meter:
        times = [reader.command(command)] if once else repeated(lambda: reader.command(command))
    if reader.reply.count(b"\n* ") + 1 < setting.sizes.mailbox:
        raise AssertionError(f"{server.name}: fewer replies than messages")
    return meter.sample(milliseconds(times), work=setting.sizes.mailbox * len(times))


def measure_search(server: Server, setting: Setting) -> Samples:
    """Milliseconds of SEARCH TEXT without a hit and with a tenth of the messages as hits; the row is the slower."""
    server.start()
    reader = open_mailbox(server, setting)
    absent = search(server, reader, setting, ABSENT_WORD, 0)
    many = search(server, reader, setting, SEARCH_WORD, -(-setting.sizes.mailbox // 10))
    reader.close()
    server.stop()
    return {"imap-search-none": absent, "imap-search-many": many}


def search(
    server: Server,
    reader: ImapReader,
    setting: Setting,
    word: str,
    expected: int,
    notes: Mapping[str, float] | None = None,
) -> Sample:
    """Time SEARCH TEXT, which has to find so many messages."""
    command = f'SEARCH TEXT "{word}"'.encode()
    reader.command(command)  # warm on both sides
    with Meter(server, setting.work) as meter:
        times = repeated(lambda: reader.command(command))
    hits = len(reader.reply.partition(b"* SEARCH")[2].partition(b"\r\n")[0].split())
    if hits != expected:
        raise AssertionError(f"{server.name}: {hits} hits for {word} instead of {expected}")
    return meter.sample(
        milliseconds(times), work=setting.sizes.mailbox * len(times), notes={"hits": hits, **(notes or {})}
    )


def measure_move(server: Server, setting: Setting) -> Samples:
    """Milliseconds to move everything to another mailbox; the way back is measured as well."""
    server.start()
    reader = ImapReader(server.imap, READER)
    if MOVED.encode() not in _mailboxes(reader):
        reader.command(b"CREATE " + MOVED.encode())
    times = []
    with Meter(server, setting.work) as meter:
        for source, target in (("INBOX", MOVED), (MOVED, "INBOX")):
            reader.select(source)
            times.append(reader.command(f"UID MOVE 1:* {target}".encode()))
            if reader.status(target) != setting.sizes.mailbox:
                raise AssertionError(f"{server.name}: not everything was moved")
    reader.close()
    server.stop()
    return {"imap-move": meter.sample(milliseconds(times), work=2 * setting.sizes.mailbox)}


def _mailboxes(reader: ImapReader) -> bytes:
    reader.command(b'LIST "" "*"')
    return reader.reply


def _scenario(name: str, title: str, rows: tuple[Row, ...], measure: object, fixture: str = "large") -> Scenario:
    return Scenario(
        name=name,
        title=title,
        rows=rows,
        ours=packetboat,
        peers=BOTH_FORMATS,
        measure=measure,  # type: ignore[arg-type]
        prepare=prepare,
        fixture=fixture,
    )


SCENARIOS = (
    Scenario(
        name="imap-envelope",
        title="10,000 messages: FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)",
        rows=(
            Row("imap-envelope-cold", "ms", Better.LOWER, 10.0),
            Row("imap-envelope", "ms", Better.LOWER, 2.0),
            Row("imap-envelope-reopened", "ms", Better.LOWER),
        ),
        ours=packetboat,
        peers=BOTH_FORMATS,
        measure=measure_envelope,
    ),
    _scenario(
        "imap-flags",
        "10,000 messages: FETCH 1:* (FLAGS)",
        (Row("imap-flags", "ms", Better.LOWER, 0.8),),
        partial(measure_fetch, "imap-flags", FLAGS),
    ),
    _scenario(
        "imap-body",
        "10,000 messages: FETCH 1:* (BODY.PEEK[])",
        (Row("imap-body", "ms", Better.LOWER, 2.0),),
        partial(measure_fetch, "imap-body", BODY),
    ),
    _scenario(
        "imap-search",
        "10,000 messages: SEARCH TEXT, without a hit and with 1,000",
        (
            Row("imap-search-none", "ms", Better.LOWER),
            Row("imap-search-many", "ms", Better.LOWER),
            Row("imap-search", "ms", Better.LOWER, 8.0, worst_of=("imap-search-none", "imap-search-many")),
        ),
        measure_search,
    ),
    _scenario(
        "imap-move",
        "10,000 messages: UID MOVE to another mailbox",
        (Row("imap-move", "ms", Better.LOWER, 3.0),),
        measure_move,
        fixture="move",
    ),
)
