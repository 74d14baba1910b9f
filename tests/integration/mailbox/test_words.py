"""The index of words over a real journal: it answers as the scan does, and follows the mailbox."""

from __future__ import annotations

import time

import pytest

from shared.mailbox import indexing, words
from shared.mailbox.indexing import IndexProgress, index_words
from shared.mailbox.search import TextSearch
from shared.mailbox.words import WordIndex, build, find_words, is_exact, unpack_uids
from tests.bench.corpus import corpus
from tests.integration.mailbox.test_content import Post, post

__all__ = ["post"]

TEXTS = ("quarterdeck", "arterdec", "xylophagous", "größer", "e", "ledger so", "a.b", "письмо")


@pytest.fixture
def small_blocks(monkeypatch):
    for module in (words, indexing):
        monkeypatch.setattr(module, "BLOCK_MESSAGES", 8, raising=True)


async def fill(post: Post, count: int) -> None:
    for mail in corpus(count, 3_000):
        await post.deliver(mail.data)


async def check(post: Post, covered: int) -> None:
    """Compare what the index says of each text with the scan."""
    inbox = await post.world.inbox()
    answer = await WordIndex(post.world.database).look_up(inbox.id, TEXTS)
    known = {uid for low, high in answer.covered for uid in range(low, high + 1)}
    rows = [row for row in await post.rows() if row["uid"] in known]
    assert len(known) == covered
    for text in TEXTS:
        scanned = await TextSearch(post.content).text_matches(rows, text)
        found = {uid for low, high in answer.found[text] for uid in range(low, high + 1)}
        assert scanned == found if is_exact(text) else scanned <= found, text


async def test_the_index_answers_as_the_scan(post, small_blocks):
    await fill(post, 27)
    inbox = await post.world.inbox()
    assert not (await WordIndex(post.world.database).look_up(inbox.id, TEXTS)).covered
    database, progress = post.world.database, IndexProgress()
    assert (await index_words(database, post.content, progress)).blocks == 3
    await check(post, 24)
    assert (await index_words(database, post.content, progress)).blocks == 0
    await fill(post, 5)
    assert (await index_words(database, post.content, progress)).blocks == 1
    await check(post, 32)
    assert not (await WordIndex(database).look_up(inbox.id, ["", "..."])).found


async def test_blocks_of_what_is_gone_are_dropped(post, small_blocks):
    await fill(post, 16)
    inbox, database = await post.world.inbox(), post.world.database
    await index_words(database, post.content, IndexProgress())
    await post.world.messages.remove(post.world.account, inbox.id, [(1, 5)])
    await fill(post, 8)
    done = await index_words(database, post.content, IndexProgress())
    assert (done.blocks, done.dropped) == (1, 1)
    answer = await WordIndex(database).look_up(inbox.id, ["quarterdeck"])
    assert answer.covered[0][0] > 5


async def test_words_of_expunged_messages_go_after_a_week(post, small_blocks, monkeypatch):
    await fill(post, 8)
    inbox, database = await post.world.inbox(), post.world.database
    await index_words(database, post.content, IndexProgress())
    await post.world.messages.remove(post.world.account, inbox.id, [(2, 2)])
    assert (await index_words(database, post.content, IndexProgress())).dropped == 0
    await post.world.execute("UPDATE search_block SET built_at = :old", old=int(time.time() - 8 * 86_400))
    await post.world.execute("UPDATE mailbox SET expunge_modseq = modseq")
    done = await index_words(database, post.content, IndexProgress())
    assert (done.blocks, done.dropped) == (0, 1)


async def test_what_cannot_be_indexed_is_left_to_the_scan(post, small_blocks, monkeypatch):
    monkeypatch.setattr(indexing, "MAX_INDEXED_BYTES", 2_000)
    await fill(post, 10)
    assert (await index_words(post.world.database, post.content, IndexProgress())).blocks == 0


async def test_a_deleted_mailbox_takes_its_index_with_it(post, small_blocks):
    await fill(post, 8)
    mailbox = await post.world.mailboxes.create(post.world.account, "other")
    inbox = await post.world.inbox()
    await post.world.messages.move(post.world.account, inbox.id, [(1, 8)], mailbox.id)
    assert (await index_words(post.world.database, post.content, IndexProgress())).blocks == 1
    await post.world.mailboxes.delete(post.world.account, "other")
    assert not (await WordIndex(post.world.database).look_up(mailbox.id, ["e"])).covered


def test_blocks():
    messages = [
        (uid, b"Subject: w%d common\r\n\r\n%s\r\n" % (uid, b"even" if uid % 2 == 0 else b"")) for uid in range(10, 110)
    ]
    block = build(messages)
    assert unpack_uids(block.uids) == list(range(10, 110))
    assert block.words.startswith(b"\n") and block.words.endswith(b"\n")
    listed = block.words.split(b"\n")[1:-1]
    assert [listed[place] for place in find_words(block.words, b"VE")] == [b"EVEN"]
    assert [listed[place] for place in find_words(block.words, b"W1")][:3] == [b"W10", b"W100", b"W101"]
    assert len(block.postings) < 100 * 20


def test_the_cost_of_indexing():
    mails = [(number, mail.data) for number, mail in enumerate(corpus(256, 5_000), 1)]
    block = build(mails)
    size = len(block.uids) + len(block.words) + len(block.postings)
    assert size < 0.4 * sum(len(data) for _, data in mails)
