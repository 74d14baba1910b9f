"""The operator that commands act as: on this machine's stack, or with --url on another's through its API."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

import typer
from redis.exceptions import RedisError

from services.cli.context import database_of, settings_for
from shared.config import CommonSettings
from shared.db import Database
from shared.directory import Directory
from shared.dns import Resolver
from shared.errors import TemporaryFailure
from shared.journal.reader import Reader
from shared.journal.writer import Writer
from shared.operations.actor import Actor
from shared.operations.bounce import Bounces
from shared.operations.operator import Office, Operator
from shared.operations.paging import MAX_LIMIT, Page
from shared.operations.queue import Yard
from shared.operations.waiting import JournalFresh
from shared.queue.connection import connect as connect_redis
from shared.queue.delivery import Item, Queue
from shared.queue.sites import Sites

if TYPE_CHECKING:
    from services.cli.remote import RemoteOperator

T = TypeVar("T")
AnyOperator: TypeAlias = "Operator | RemoteOperator"
UrlOption = Annotated[
    str,
    typer.Option("--url", help="Another stack's API (with PACKETBOAT_TOKEN), not --data.", envvar="PACKETBOAT_URL"),
]


def perform(data: Path, url: str, work: Callable[[AnyOperator], Awaitable[T]], *, bounces: bool = False) -> T:
    """Do some work as an operator."""

    async def run() -> T:
        if url:
            from services.cli import api_client, remote

            async with api_client.connect(url) as client:
                return await work(remote.RemoteOperator(client))
        async with local_operator(data, bounces=bounces) as operator:
            return await work(operator)

    return asyncio.run(run())


async def everything(page: Callable[[str, int], Awaitable[Page]]) -> list[dict[str, Any]]:
    """Return all items of a list, page by page."""
    items: list[dict[str, Any]] = []
    cursor = ""
    while True:
        found = await page(cursor, MAX_LIMIT)
        items += found.items
        cursor = found.next
        if not cursor:
            return items


@contextlib.asynccontextmanager
async def local_operator(data: Path, *, bounces: bool = False) -> AsyncIterator[Operator]:
    """Give the operator of a stack on this machine, whether it runs or not."""
    settings = settings_for(data)
    async with database_of(data) as database, redis_queue(settings) as queue:
        reader = Reader(settings.journal)
        async with _bounces(settings, database, reader, queue, wanted=bounces) as made:
            office = Office(
                yard=Yard(database, settings.journal, reader, queue),
                fresh=JournalFresh(database, settings.journal, reader),
                hostname=settings.name,
                resolver=lambda: Resolver(settings.resolver),
                sites=Sites(queue.redis, lambda _site: 1) if queue is not None else None,
                bounces=(lambda: made) if made is not None else None,
            )
            yield Operator(office, Actor(f"cli:{user()}"))


@contextlib.asynccontextmanager
async def redis_queue(settings: CommonSettings) -> AsyncIterator[Queue | None]:
    """Give the queue of a running stack; None when Redis is away (the next sweep reads SQL)."""
    client = connect_redis(settings.redis)
    queue: Queue | None = Queue(client, "cli")
    try:
        await client.ping()
        await Queue(client, "cli").setup()
    except (RedisError, OSError, TemporaryFailure):
        queue = None
    try:
        yield queue
    finally:
        await client.aclose()


@contextlib.asynccontextmanager
async def _bounces(
    settings: CommonSettings, database: Database, reader: Reader, queue: Queue | None, *, wanted: bool
) -> AsyncIterator[Bounces | None]:
    """Give what writes bounces; they reach the queue once the work is done, or by the sweep."""
    if not wanted:
        yield None
        return
    writer = Writer(settings.journal, f"cli-{os.getpid()}", may_use_reserve=True)
    await writer.open()
    items: list[Item] = []
    try:
        yield Bounces(writer, reader, settings.name, Directory(database).is_local_domain, items.append)
    finally:
        await writer.close()
        if queue is not None and items:
            with contextlib.suppress(RedisError, OSError):
                await queue.enqueue(items)


def user() -> str:
    """Return who runs the command, for the audit log."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
