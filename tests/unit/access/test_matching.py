"""Searching: progress told, text searched in chunks, the index asked first; results kept up to date."""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from services.access.imap import matching as module
from services.access.imap.context import Kept
from services.access.imap.matching import Progress, matching
from shared.imap.esearch import Origin
from shared.imap.limits import MAX_SEARCH_TEXTS
from shared.imap.search import All, And, Body, Flags, Fuzzy, InUids, Larger, Modseq, Not, Or, SearchKey, Text
from shared.imap.sequence import Range, compact
from shared.imap.sort import Sortable, SortCriterion, SortKey
from shared.mailbox.errors import LimitReached
from shared.mailbox.messages import Want
from shared.mailbox.search import TextKey
from shared.mailbox.words import Answer


class Mailbox:
    """Messages of which the text is a word and the UID's parity; what was read is noted."""

    def __init__(self, count: int = 300, indexed: Sequence[Range] = ()) -> None:
        self.count = count
        self.indexed = tuple(indexed)
        self.read: list[int] = []
        self.searched: list[int] = []
        self.written: list[bytes] = []
        self.desk = SimpleNamespace(messages=self, search=self, words=self)
        self.connection = SimpleNamespace(drain=self._drain)

    def contains(self, uid: int, text: str) -> bool:
        return text in f"word {'even' if uid % 2 == 0 else 'odd'} {uid}"

    def write(self, data: bytes) -> None:
        self.written.append(data)

    async def fetch_rows(self, mailbox_id: int, ranges: Iterable[Range], want: Want) -> AsyncIterator[list[Any]]:
        uids = [uid for low, high in ranges for uid in range(low, high + 1) if uid <= self.count]
        for start in range(0, len(uids), 50):
            self.read += uids[start : start + 50]
            yield [(uid, uid % 2, 1000 + uid, 0, uid) for uid in uids[start : start + 50]]

    async def matches(self, rows: Sequence[Any], keys: Sequence[TextKey]) -> list[set[int]]:
        self.searched += [row[0] for row in rows]
        return [{row[0] for row in rows if self.contains(row[0], key.text)} for key in keys]

    async def look_up(self, mailbox_id: int, texts: Iterable[str]) -> Answer:
        known = [uid for low, high in self.indexed for uid in range(low, high + 1)]
        found = {text: compact(uid for uid in known if self.contains(uid, text)) for text in texts}
        return Answer(self.indexed, found)

    async def _drain(self) -> None:
        """Wait for nobody."""


KEYS: list[SearchKey] = [
    Text("even"),
    Not(Text("even")),
    Or(Text("odd"), Larger(290)),
    And((Text("even"), Flags(1, present=False), Larger(10))),
    Body("even"),
    Text("word even"),
    Not(Or(Text("d 7"), Text("2"))),
    And((Text("word"), Not(Body("odd")))),
    All(),
    InUids(((3, 9), (250, 400))),
]


@pytest.mark.parametrize("key", KEYS, ids=repr)
@pytest.mark.parametrize("indexed", [((1, 256),), ((5, 20), (40, 300)), ((1, 300),)], ids=repr)
async def test_the_index_changes_no_result(key, indexed):
    known = [(1, 100), (120, 300)]
    plain = await matching(Mailbox(), 1, key, known)
    assert (await matching(Mailbox(indexed=indexed), 1, key, known)).uids == plain.uids
    assert plain.uids == sorted(plain.uids)


async def test_what_the_index_knows_is_not_read():
    mailbox = Mailbox(indexed=[(1, 256)])
    assert len((await matching(mailbox, 1, Text("even"), [(1, 300)])).uids) == 150
    assert min(mailbox.read) == 257
    mailbox = Mailbox(indexed=[(1, 256)])
    assert (await matching(mailbox, 1, Text("even 250"), [(1, 300)])).uids == [250]
    assert sorted(mailbox.searched)[0] == 250


async def test_mod_sequences_and_relevancy():
    found = await matching(Mailbox(), 1, And((Text("even"), Modseq(1290))), [(1, 300)])
    assert found.uids == [290, 292, 294, 296, 298, 300] and found.modseqs == {uid: 1000 + uid for uid in found.uids}
    fuzzy = Fuzzy(Text("word even"), And((Text("word"), Text("even"))))
    found = await matching(Mailbox(10), 1, Or(fuzzy, Fuzzy(Text("9 odd"), And((Text("9"), Text("odd"))))), [(1, 10)])
    assert found.scores == {2: 100, 4: 100, 6: 100, 8: 100, 10: 100, 9: 50}


async def test_progress_is_told(monkeypatch):
    monkeypatch.setattr(module, "PROGRESS_AFTER", 0.0)
    mailbox = Mailbox()
    await matching(mailbox, 1, Text("even"), [(1, 300)], Progress(mailbox, b"a1"))
    assert mailbox.written[0] == b'* OK [INPROGRESS ("a1" 0 300)] Still searching\r\n'
    assert mailbox.written[-1] == b'* OK [INPROGRESS ("a1" 250 300)] Still searching\r\n'
    mailbox = Mailbox()
    await matching(mailbox, 1, Text("even"), [(1, 300)])
    assert not mailbox.written
    progress = Progress(mailbox, b"a2", counts=False)
    for _ in range(2):
        await matching(mailbox, 1, Text("even"), [(1, 50)], progress)
    assert mailbox.written == [b'* OK [INPROGRESS ("a2" NIL NIL)] Still searching\r\n'] * 2


async def test_too_many_texts():
    key = And(tuple(Text(str(number)) for number in range(MAX_SEARCH_TEXTS + 1)))
    with pytest.raises(LimitReached):
        await matching(Mailbox(), 1, key, [(1, 300)])


def test_a_kept_result():
    kept = Kept(Origin(b"t", True), All(), array("I", [2, 4, 6]))
    assert kept.add([5, 7]) == [(0, 5), (0, 7)]
    assert kept.remove([4, 9, 5]) == [(0, 4), (0, 5)]
    assert list(kept.uids) == [2, 6, 7] and 6 in kept and 4 not in kept


def test_a_kept_order_follows_each_change():
    messages = [Sortable(uid, size=100 - uid) for uid in (1, 5, 9)]
    criteria = (SortCriterion(SortKey.SIZE),)
    kept = Kept(Origin(b"t", True), All(), array("I", [1, 5, 9]), criteria=criteria, ordered=messages[::-1])
    shown = [9, 5, 1]
    for at, uid in kept.add_sorted([Sortable(7, size=93), Sortable(2, size=98), Sortable(11, size=89)]):
        shown.insert(at - 1, uid)
    assert shown == [message.uid for message in kept.ordered] == [11, 9, 7, 5, 2, 1]
    for at, uid in kept.remove([11, 5, 1]):
        assert shown.pop(at - 1) == uid
    assert shown == [message.uid for message in kept.ordered] == [9, 7, 2]
