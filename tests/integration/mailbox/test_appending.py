"""APPENDs that arrive together share a transaction, and nothing else."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from shared.imap.flags import DELETED, SEEN, FlagSet
from shared.mailbox.appending import BATCH_LIMIT, Appended, NewMessage, _Batch
from shared.mailbox.errors import LimitReached, NoSuchMailbox, OverQuota, SegmentRewritten
from shared.mailbox.keywords import MAX_KEYWORDS
from tests.integration.mailbox.conftest import NO_FLAGS, RENDERED, SEGMENT, make_world


async def test_many_at_once_get_uids_of_their_own(world):
    inbox = await world.inbox()
    other = await world.inbox(world.accounts[1])
    flags = [FlagSet(), FlagSet(SEEN), FlagSet(SEEN | DELETED), FlagSet(keywords=(b"$Work", b"$Home"))]
    mailboxes = [(inbox, other)[number % 2] for number in range(2 * BATCH_LIMIT + 10)]
    done = await asyncio.gather(*(world.append(box, flags[n % 4]) for n, box in enumerate(mailboxes)))
    for mailbox in (inbox, other):
        uids = [appended.uid for box, appended in zip(mailboxes, done, strict=True) if box is mailbox]
        assert sorted(uids) == list(range(1, len(uids) + 1)) == await world.uids(mailbox.id)
    await world.check_counts()


async def test_one_that_is_refused_takes_no_other_with_it(database):
    world = await make_world(database, accounts=2, quota=1000)
    full, roomy = await world.inbox(), await world.inbox(world.accounts[1])
    await world.execute("INSERT INTO segment (name, state) VALUES ('gone', 'rewritten')")
    trash = await world.mailboxes.create(world.account, "Gone")
    await world.mailboxes.delete(world.account, "Gone")
    too_many = FlagSet(keywords=tuple(b"k%d" % number for number in range(MAX_KEYWORDS + 1)))
    answers = await asyncio.gather(
        world.append(full, size=600),
        world.append(full, size=600),
        world.append(roomy, size=600),
        world.append(trash),
        world.append(roomy, too_many),
        _append_from(world, roomy, "gone"),
        world.append(full, size=400),
        return_exceptions=True,
    )
    kinds = [Appended, OverQuota, Appended, NoSuchMailbox, LimitReached, SegmentRewritten, Appended]
    assert [type(answer) for answer in answers] == kinds
    assert await world.uids(full.id) == [1, 2]
    assert await world.uids(roomy.id) == [1]
    await world.check_counts()


async def test_what_sql_refuses_fails_alone(world):
    inbox = await world.inbox()
    impossible = replace(RENDERED, sent_at=1 << 70)
    answers = await asyncio.gather(
        world.append(inbox),
        _append_from(world, inbox, SEGMENT, impossible),
        world.append(inbox),
        return_exceptions=True,
    )
    assert [isinstance(answer, Appended) for answer in answers] == [True, False, True]
    assert await world.uids(inbox.id) == [1, 2]
    await world.check_counts()


async def test_a_client_that_leaves_takes_no_other_with_it(world):
    inbox = await world.inbox()
    leaving, staying = (asyncio.create_task(world.append(inbox)) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).uid in (1, 2)
    with pytest.raises(asyncio.CancelledError):
        await leaving


def test_a_batch_takes_no_more_than_its_limit_and_none_once_it_has_begun():
    full = _Batch("first", "answer")
    assert [full.join("next", "answer") for _ in range(BATCH_LIMIT)] == [*[True] * (BATCH_LIMIT - 1), False]
    begun = _Batch("first", "answer")
    assert begun.join("second", "answer")
    assert begun.begin() == begun.begin() == ["first", "second"]
    assert not begun.join("third", "answer")


async def test_a_mailbox_that_was_renamed_takes_nothing_by_its_old_name(world):
    box = await world.mailboxes.create(world.account, "Box")
    await world.mailboxes.rename(world.account, "Box", "Other")
    message = NewMessage(box.account_id, box.id, world.blob(), NO_FLAGS, 1_700_000_000, "Box")
    with pytest.raises(NoSuchMailbox):
        await world.messages.append_message(message)
    assert (await world.messages.append_message(replace(message, mailbox_name="Other"))).uid == 1


async def _append_from(world, mailbox, segment, rendered=RENDERED):
    blob = world.blob(rendered=rendered, segment=segment)
    return await world.messages.append(
        mailbox.account_id, mailbox.id, blob.entry, blob.reference, blob.rendered, NO_FLAGS, 1_700_000_000
    )
