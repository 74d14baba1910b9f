"""A message's text while it arrives."""

from __future__ import annotations

import random

import pytest

from services.mta.body import MAX_PIECES, Body, Text
from shared.errors import MailFailure, TemporaryFailure
from shared.journal.record import LARGE_THRESHOLD
from tests.unit.mta.fakes import FakeJournal

HEADER = b"Subject: hi\r\n\r\n"
LIMIT = 3 * LARGE_THRESHOLD


def make(journal: FakeJournal, limit: int = LIMIT) -> Body:
    return Body(lambda: journal.large("01M83AEFQKGVM4BHG04Y13W1KF"), limit)  # type: ignore[arg-type, return-value]


async def fill(body: Body, data: bytes, size: int) -> Text:
    for at in range(0, len(data), size):
        await body.write(data[at : at + size])
    return await body.finish()


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_small(size: int) -> None:
    journal = FakeJournal()
    text = await fill(make(journal), HEADER + b"body\r\n", size)
    assert text == Text(HEADER + b"body\r\n", len(HEADER), len(HEADER) + 6)
    assert journal.uploads == []


async def test_many_pieces_are_joined() -> None:
    body = make(FakeJournal())
    for _ in range(5 * MAX_PIECES):
        await body.write(b"x")
        assert len(body._pieces) <= MAX_PIECES + 1
    assert (await body.finish()).head == b"x" * 5 * MAX_PIECES


@pytest.mark.parametrize("size", [1000, 65536, LARGE_THRESHOLD, 10**6])
async def test_large_goes_to_the_volume_but_for_its_header(size: int) -> None:
    journal = FakeJournal()
    rest = random.Random(1).randbytes(10_000).hex().encode() * 20 + b"\r\n"
    text = await fill(make(journal), HEADER + rest, size)
    assert (text.head, text.header_size, text.size) == (HEADER, len(HEADER), len(HEADER) + len(rest))
    assert text.large is not None and text.large.size == len(rest)
    assert b"".join(journal.uploads[0].pieces) == rest


async def test_no_end_of_header_in_sight() -> None:
    journal = FakeJournal()
    data = b"X: " + b"y" * (LARGE_THRESHOLD + 5000) + b"\r\n"
    text = await fill(make(journal), data, 65536)
    assert len(text.head) == text.header_size == LARGE_THRESHOLD
    assert text.head + b"".join(journal.uploads[0].pieces) == data


@pytest.mark.parametrize("bad", [b"a\nb", b"a\rb", b"a\0b", b"ab\r"])
@pytest.mark.parametrize("before", [0, LARGE_THRESHOLD + 10])
async def test_bad_octets_are_refused_when_all_is_read(bad: bytes, before: int) -> None:
    journal = FakeJournal()
    body = make(journal)
    await body.write(b"x" * before)
    await body.write(bad)
    await body.write(b"" if bad.endswith(b"\r") else b"more\r\n")
    with pytest.raises(MailFailure) as caught:
        await body.finish()
    assert (caught.value.code, caught.value.status) == (550, "5.6.0")
    assert all(upload.aborted for upload in journal.uploads)


async def test_crlf_split_over_pieces_is_good() -> None:
    text = await fill(make(FakeJournal()), b"a\r\nb\r\n\r\n", 1)
    assert text.head == b"a\r\nb\r\n\r\n"


async def test_too_big() -> None:
    journal = FakeJournal()
    body = make(journal)
    for _ in range(4 * 12):
        await body.write(b"x" * (LARGE_THRESHOLD // 4))
    assert journal.uploads[0].aborted
    assert body.failure is not None and str(body.failure) == "552 5.3.4 Message too big"
    assert not body.is_hopeless
    await body.write(b"x" * LARGE_THRESHOLD)
    assert body.is_hopeless
    with pytest.raises(MailFailure, match="552"):
        await body.finish()


async def test_a_failing_volume_is_told_at_the_end() -> None:
    journal = FakeJournal(upload_failure=TemporaryFailure("full", code=452, status="4.3.1"))
    body = make(journal)
    await body.write(b"x" * (LARGE_THRESHOLD + 1))
    await body.write(b"x")
    assert journal.uploads[0].aborted
    with pytest.raises(MailFailure, match="452"):
        await body.finish()
