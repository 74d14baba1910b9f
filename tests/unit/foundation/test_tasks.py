"""What becomes of a worker whose tasks end."""

from __future__ import annotations

import asyncio

import pytest

from shared.maillog import MailLog
from shared.tasks import Tasks


async def _fail() -> None:
    raise RuntimeError("it broke")


async def _end() -> None:
    await asyncio.sleep(0)


async def _go_on() -> None:
    await asyncio.Event().wait()


@pytest.fixture
def exits() -> list[int]:
    return []


@pytest.fixture
def tasks(exits: list[int]) -> Tasks:
    return Tasks(MailLog("test"), exits.append)


@pytest.mark.parametrize("work", [_fail, _end])
async def test_a_task_that_fails_or_ends_ends_the_process(work: object, tasks: Tasks, exits: list[int]) -> None:
    tasks.run(work())  # type: ignore[operator]
    tasks.run(_go_on())
    await asyncio.sleep(0.01)
    assert exits == [1]
    await tasks.cancel()
    assert exits == [1]


async def test_a_draining_worker_waits_for_what_ends_and_cancels_the_rest(tasks: Tasks, exits: list[int]) -> None:
    said: list[str] = []

    async def last_piece() -> None:
        await asyncio.sleep(0.01)
        said.append("done")

    tasks.run(last_piece())
    tasks.run(_go_on())
    await tasks.finish(0.05)
    assert (said, exits) == (["done"], [])


async def test_a_failure_counts_while_draining_too(tasks: Tasks, exits: list[int]) -> None:
    tasks.let_end()
    tasks.run(_fail())
    await tasks.finish(1)
    assert exits == [1]


async def test_no_tasks_need_no_patience(tasks: Tasks) -> None:
    async with asyncio.timeout(1):
        await tasks.finish(60)


async def test_the_last_words_are_waited_for(exits: list[int]) -> None:
    tasks = Tasks(MailLog("test"), exits.append, last_words=0.02)
    tasks.give_up(OSError("the journal"))
    assert exits == []
    await asyncio.sleep(0.05)
    assert exits == [1]
