"""Bytes, sections and text search, out of a real journal."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared import ids
from shared.db import DatabaseUnavailable
from shared.imap.flags import FlagSet
from shared.journal.reader import Reader, RecordUnavailable
from shared.journal.writer import LargeFile, Writer
from shared.mailbox.blobs import NewBlob
from shared.mailbox.content import Content, Extent
from shared.mailbox.errors import MessageGone
from shared.mailbox.job import Deliver, Job
from shared.mailbox.messages import Want
from shared.mailbox.search import Scope, TextKey, TextSearch
from shared.message.body import SectionText
from shared.message.envelope import Envelope, Kind
from shared.message.prefilter import prefilter
from shared.message.rendered import render
from shared.message.text import contains_text
from tests.bench.corpus import corpus
from tests.integration.mailbox.conftest import World, make_world

PREFIX = b"Return-Path: <s@a.test>\r\nDelivered-To: to@a.test\r\n"
MULTIPART = (
    b"From: a@a.test\r\nSubject: parts\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain\r\n\r\nfirst part\r\n"
    b"--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + b64encode("zweiter Teil: Größe".encode())
    + b"\r\n--b--\r\n"
)


@dataclass
class Post:
    """A world with a journal."""

    world: World
    writer: Writer
    reader: Reader
    content: Content

    async def deliver(self, message: bytes, prefix: bytes = PREFIX, large: bytes = b"") -> None:
        entry = ids.new_id()
        envelope = Envelope(entry, "s@a.test", (), time.time_ns() // 1000, Kind.APPEND)
        file: LargeFile | None = None
        if large:
            upload = self.writer.large(entry)
            await upload.write(large)
            file = await upload.finish()
        reference = await self.writer.append(envelope, message, file)
        step = Deliver("to@a.test", "t", self.world.account, prefix)
        await self.world.deliver(Job(NewBlob(entry, reference, render(message + large)), "s", (step,), 1))

    async def rows(self, want: Want = Want.CONTENT):
        inbox = await self.world.inbox()
        found = self.world.messages.fetch_rows(inbox.id, [(1, 4_000_000_000)], want)
        return [row async for rows in found for row in rows]


class AlteredRow(tuple):
    """A row whose values can be asked for by name, too."""

    names: tuple[str, ...]

    def __getitem__(self, key):
        return super().__getitem__(self.names.index(key) if isinstance(key, str) else key)


def altered(row, **values) -> AlteredRow:
    """A row with some other values."""
    new = AlteredRow(values.get(name, value) for name, value in zip(row.keys(), tuple(row), strict=True))
    new.names = tuple(row.keys())
    return new


@pytest.fixture
async def post(database, tmp_path: Path):
    world = await make_world(database, accounts=1)
    writer = Writer(tmp_path / "journal", "mta-0")
    await writer.open()
    reader = Reader(tmp_path / "journal")
    yield Post(world, writer, reader, Content(database, reader))
    await writer.close()
    reader.close()


async def test_prefix_and_record_are_one_message(post):
    await post.deliver(MULTIPART)
    row = (await post.rows())[0]
    whole = PREFIX + MULTIPART
    assert await post.content.read(row) == whole
    assert row["size"] == len(whole)
    for start, length in ((0, 10), (len(PREFIX) - 3, 9), (len(PREFIX), 5), (60, 10_000), (len(whole), 5), (3, 0)):
        assert await post.content.pread(row, start, length) == whole[start : start + length]
    assert b"".join([chunk async for chunk in post.content.stream(row, 5, 10_000)]) == whole[5:]


async def test_sections(post):
    await post.deliver(MULTIPART)
    await post.deliver(MULTIPART, prefix=b"")
    rows = await post.rows()
    content = post.content
    header_end = MULTIPART.index(b"\r\n\r\n") + 4
    assert await content.section(rows[0]) == PREFIX + MULTIPART
    assert await content.section(rows[0], (), SectionText.HEADER) == PREFIX + MULTIPART[:header_end]
    assert await content.section(rows[0], (), SectionText.TEXT) == MULTIPART[header_end:]
    assert await content.section(rows[0], (1,)) == b"first part"
    assert await content.section(rows[0], (2,), SectionText.MIME) == (
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    )
    assert await content.section(rows[0], (3,)) is None
    assert content.extent(rows[0], (1,)) == Extent(len(PREFIX) + MULTIPART.index(b"first part"), 10)
    fields = await content.sections(rows, (), SectionText.HEADER_FIELDS, (b"SUBJECT", b"Delivered-To"))
    assert fields == [b"Delivered-To: to@a.test\r\nSubject: parts\r\n\r\n", b"Subject: parts\r\n\r\n"]
    assert await content.sections(rows, (9,)) == [None, None]
    assert await content.read_many(rows) == [PREFIX + MULTIPART, MULTIPART]
    assert await content.view_many(rows) == [PREFIX + MULTIPART, MULTIPART]
    assert await content.view_many(rows[1:]) == [MULTIPART]


async def test_large_messages(post):
    body = b"x" * 700_000 + b"\r\n"
    await post.deliver(b"Received: here\r\n", large=b"Subject: big\r\n\r\n" + body)
    row = (await post.rows())[0]
    assert (await post.content.read(row)).endswith(body)
    assert await post.content.section(row, (), SectionText.TEXT) == body
    chunks = [len(chunk) async for chunk in post.content.stream(row, 0, row["size"])]
    assert sum(chunks) == row["size"] and max(chunks) <= 256 * 1024


async def test_a_moved_record_is_found_again_and_a_lost_one_is_temporary(post):
    await post.deliver(MULTIPART)
    row = (await post.rows())[0]
    copy = await post.writer.append(Envelope(ids.new_id(), "", (), 1, Kind.APPEND), b"other" * 3)
    stale = altered(
        row,
        position=copy.offset,
        length=copy.length,
        body=copy.body,
        inline_size=copy.inline,
        record_size=copy.size + 1,
    )
    whole = PREFIX + MULTIPART
    assert await post.content.read(stale) == whole
    elsewhere = row["segment"][:-1] + "9"
    wrong = altered(row, segment=elsewhere)
    assert await post.content.read(wrong) == whole
    assert await post.content.read_many([wrong, row]) == [whole, whole]
    assert await post.content.view_many([wrong, row]) == [whole, whole]
    assert await post.content.sections([wrong], (1,)) == [b"first part"]
    with pytest.raises(MessageGone):
        await post.content.read(altered(row, segment=elsewhere, blob_id=999_999))
    results = await post.content.read_many([altered(row, segment=elsewhere, blob_id=999_999), row])
    assert isinstance(results[0], MessageGone) and results[1] == whole
    await post.world.execute("UPDATE blob SET position = position + 1, body = body + 1")
    with pytest.raises(RecordUnavailable):
        await post.content.read(wrong)


async def test_text_search(post):
    plain = b"Subject: Meeting notes\r\nX-Tag: alpha\r\n\r\nLet us meet at the Harbour.\r\n"
    encoded = b"Subject: =?utf-8?q?Gr=C3=B6=C3=9Fe?=\r\n\r\nnothing here\r\n"
    for message in (plain, MULTIPART, encoded):
        await post.deliver(message)
    rows = await post.rows()
    search = TextSearch(post.content)
    keys = [
        TextKey(Scope.TEXT, "HARBOUR"),
        TextKey(Scope.TEXT, "größe"),
        TextKey(Scope.BODY, "größe"),
        TextKey(Scope.BODY, "meeting notes"),
        TextKey(Scope.HEADER, "größe", b"Subject"),
        TextKey(Scope.HEADER, "", b"x-tag"),
        TextKey(Scope.HEADER, "alpha", b"Subject"),
        TextKey(Scope.HEADER, "to@a.test", b"delivered-to"),
        TextKey(Scope.TEXT, "enRlciB"),
        TextKey(Scope.TEXT, ""),
    ]
    found = await search.matches(rows, keys)
    assert found == [{1}, {2, 3}, {2}, set(), {3}, {1}, set(), {1, 2, 3}, set(), {1, 2, 3}]
    assert await search.text_matches(rows, "harbour") == {1}
    assert await search.matches([], keys) == [set() for _ in keys]


async def test_addresses_are_searched_as_the_envelope_has_them(post):
    for value in (b"ann@b.test", b"<ann (who)@ (there) b.test>", b'"ann"@b.test', b"Ann <joann@b.test>", b"Ann"):
        await post.deliver(b"From: " + value + b"\r\nX-From: " + value + b"\r\n\r\n")
    rows = await post.rows()
    search = TextSearch(post.content)
    assert await search.text_matches(rows, "Ann@B.test", Scope.HEADER, b"from") == {1, 2, 3, 4}
    assert await search.text_matches(rows, "(who)@", Scope.HEADER, b"from") == {2}
    assert await search.text_matches(rows, "ann@b.test", Scope.HEADER, b"x-from") == {1, 4}


async def test_search_finds_what_the_filtered_stretch_does_not_show(post):
    await post.deliver(b"Subject: harbour\r\n\r\n" + b"x" * 1000)
    await post.deliver(b"Received: here\r\n", large=b"Subject: big\r\n\r\n" + b"y\r\n" * 100_000 + b"lighthouse\r\n")
    await post.deliver(MULTIPART, prefix=b"Delivered-To: lighthouse@a.test\r\n")
    first, large, other = (await post.rows())[:3]
    elsewhere = first["segment"][:-1] + "9"
    twice = altered(first, uid=9)  # as a copy has it
    wrong = altered(first, uid=10, segment=elsewhere)
    gone = altered(first, uid=11, segment=elsewhere, blob_id=999_999)
    search = TextSearch(post.content)
    rows = [other, gone, twice, first, wrong, large]
    assert await search.text_matches(rows, "HARBOUR") == {1, 9, 10}
    assert await search.text_matches(rows, "lighthouse") == {2, 3}
    assert await search.text_matches(rows, "LIGHTHOUSE", Scope.HEADER, b"Delivered-To") == {3}
    keys = [TextKey(Scope.TEXT, "harbour"), TextKey(Scope.TEXT, "lighthouse"), TextKey(Scope.TEXT, "windmill")]
    assert await search.matches(rows, keys) == [{1, 9, 10}, {2, 3}, set()]


async def test_search_is_what_each_message_says_of_itself(post):
    mails = [mail.data for mail in corpus(120, 5_000)]
    for mail in mails:
        await post.deliver(mail, prefix=b"")
    rows = await post.rows()
    search = TextSearch(post.content)
    for text in ("quarterdeck", "xylophagous", "arterdec", "größer", "the ledger so", "письмо", "base64", "ou", ""):
        expected = {uid for uid, mail in enumerate(mails, 1) if contains_text(mail, text)}
        assert await search.text_matches(rows, text) == expected, text


async def test_what_all_headers_of_records_have_is_passed_over_at_once(post, monkeypatch):
    for number in range(30):
        await post.deliver(b"Subject: %d\r\n\r\n" % number + (b"received_at\r\n" if number == 17 else b"x\r\n"))
    looked: list[int] = []

    class Counting:
        def __init__(self, text):
            self._filter = prefilter(text)

        def search(self, data, start=0):
            looked.append(start)
            return self._filter.search(data, start)

    monkeypatch.setattr("shared.mailbox.search.prefilter", Counting)
    assert await TextSearch(post.content).text_matches(await post.rows(), "received_at") == {18}
    assert len(looked) <= 5  # headers, prefix, the message; not 30


async def test_search_of_many_messages(post, capsys):
    message = b"Subject: number %d\r\n\r\n" + b"some words that nobody looks for\r\n" * 60
    entries = [ids.new_id() for _ in range(3000)]
    references = await asyncio.gather(
        *(
            post.writer.append(Envelope(entry, "", (), 1, Kind.APPEND), message % number)
            for number, entry in enumerate(entries)
        )
    )
    rendered = render(message % 1)
    step = Deliver("to@a.test", "t", post.world.account, PREFIX)
    jobs = [
        Job(NewBlob(entry, reference, rendered), "s", (step,), 1)
        for entry, reference in zip(entries, references, strict=True)
    ]
    await post.world.deliver(*jobs)
    rows = await post.rows()
    began = time.perf_counter()
    found = await TextSearch(post.content).text_matches(rows, "number 2999")
    took = time.perf_counter() - began
    assert found == {3000}
    with capsys.disabled():
        print(f"\n  {post.world.database.engine.value}: text of {len(rows)} messages: {took * 1000:.0f} ms", end="")


async def test_append_reads_back(post):
    entry = ids.new_id()
    reference = await post.writer.append(Envelope(entry, "", (), 1, Kind.APPEND), MULTIPART)
    inbox = await post.world.inbox()
    appended = await post.world.messages.append(
        post.world.account, inbox.id, entry, reference, render(MULTIPART), FlagSet(), 5
    )
    assert appended.uid == 1
    assert await post.content.read((await post.rows())[0]) == MULTIPART


async def test_a_search_says_that_sql_is_away(post, monkeypatch):
    await post.deliver(b"Subject: harbour\r\n\r\nhello\r\n")
    rows = [altered(row, segment=row["segment"][:-1] + "9") for row in await post.rows()]

    async def away(*_args: object) -> None:
        raise DatabaseUnavailable("away")

    monkeypatch.setattr(post.content, "_reload", away)
    with pytest.raises(DatabaseUnavailable):
        await TextSearch(post.content).text_matches(rows, "harbour")
