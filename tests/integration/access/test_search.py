"""Hostile searches of a running worker, and one with an index."""

from __future__ import annotations

import time

from services.access.imap import matching
from shared.imap.limits import MAX_CONTEXTS, MAX_SEARCH_TEXTS
from shared.mailbox import indexing, words
from shared.mailbox.indexing import IndexProgress, index_words
from tests.integration.access.conftest import RunningAccess
from tests.integration.access.messages import HELLO, LETTERS


def test_too_many_texts_and_contexts(access: RunningAccess) -> None:
    access.deliver(HELLO)
    client = access.log_in()
    text = "OR TEXT x{0} " * 2
    many = " ".join(f"TEXT x{number}" for number in range(MAX_SEARCH_TEXTS + 1))
    assert client.command(f"SEARCH {many}")[1].startswith(b"NO [LIMIT]")
    assert client.ok("SEARCH " + text.format(1) + "ALL") == [b"* SEARCH 1"]
    for number in range(MAX_CONTEXTS):
        assert not any(b"NOUPDATE" in line for line in client.ok("SEARCH RETURN (UPDATE COUNT) ALL")), number
    refused = client.ok("SEARCH RETURN (UPDATE COUNT) ALL")
    assert refused[0].endswith(b"COUNT 1") and b"* NO [NOUPDATE" in refused[1]


def test_long_sets_of_numbers(access: RunningAccess) -> None:
    access.deliver(HELLO, *LETTERS.values())
    client = access.log_in()
    began = time.monotonic()
    numbers = ",".join(str(number) for number in range(1, 20_000, 2))
    assert client.ok(f"UID SEARCH UID {numbers}") == [b"* SEARCH 1 3 5"]
    assert client.ok(f"SEARCH {numbers}") == [b"* SEARCH 1 3 5"]
    assert client.command("SEARCH " + "(" * 60_000)[1].startswith(b"BAD")
    assert client.command("UID SEARCH UID " + "1," * 40_000 + "1")[1].startswith(b"BAD")
    assert client.ok("NOOP") == []
    assert time.monotonic() - began < 10


def test_an_index_answers_the_same(access: RunningAccess, monkeypatch) -> None:
    monkeypatch.setattr(matching, "LOOK_UP_FROM", 1)
    for module in (words, indexing):
        monkeypatch.setattr(module, "BLOCK_MESSAGES", 3)
    access.deliver(HELLO, *LETTERS.values())
    client = access.log_in()
    questions = [
        f"SEARCH {key}"
        for key in ("TEXT number", "TEXT umbe", "BODY number", "SUBJECT pla", 'TEXT "number 3"', "NOT TEXT bye",
                    "OR TEXT apples TEXT alice", "TEXT bob", "FUZZY TEXT \"3 number\"", "TEXT delivered")
    ]  # fmt: skip
    before = [client.ok(question) for question in questions]
    worker = access.worker
    done = access.call(lambda: index_words(worker._database, worker.desk.content, IndexProgress()))
    assert done.blocks == 2
    assert [client.ok(question) for question in questions] == before
