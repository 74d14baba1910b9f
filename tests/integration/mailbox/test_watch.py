"""Waking sessions, with Redis and without."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from shared.mailbox.messages import Messages
from shared.mailbox.watch import Announcer, Watcher
from shared.queue.notify import Publisher, Subscriber


async def _stop(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_an_announced_change_wakes_the_session(world, redis):
    subscriber = Subscriber(redis)
    watcher = Watcher(world.database, subscriber)
    announcer = Announcer(Publisher(redis))
    tasks = [asyncio.create_task(subscriber.run()), asyncio.create_task(announcer.run())]
    await subscriber.connected.wait()
    messages = world.messages = Messages(world.database, announce=announcer)
    inbox = await world.inbox()
    with watcher.watch(world.account, inbox.id) as watch, watcher.watch(world.accounts[1], inbox.id) as other:
        await watch.wait(0.05)
        other.changed.clear()
        await world.append(inbox)
        assert await watch.wait(5)
        assert not other.changed.is_set()
    assert messages is world.messages
    await _stop(*tasks)


async def test_the_poll_finds_what_was_not_announced(world, redis):
    watcher = Watcher(world.database, Subscriber(redis), interval=0.05)
    inbox = await world.inbox()
    box = await world.mailboxes.create(world.account, "box")
    with watcher.watch(world.account, inbox.id) as watch, watcher.watch(world.account, box.id) as other:
        await watcher.poll()
        watch.changed.clear()
        other.changed.clear()
        await watcher.poll()
        assert not watch.changed.is_set()
        task = asyncio.create_task(watcher.run())
        await world.append(inbox)
        assert await watch.wait(5)
        assert not other.changed.is_set()
        await world.mailboxes.delete(world.account, "box")
        assert await other.wait(5)
        await _stop(task)
    await watcher.poll()
