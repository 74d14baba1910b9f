"""Random operations on mailboxes against a model in memory; afterwards SQL's counts must agree with its rows."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.db import connect
from shared.imap.flags import DELETED, FLAGGED, SEEN, FlagSet
from shared.mailbox.messages import StoreMode
from tests.integration.mailbox.conftest import World, make_world

NAMES = ("INBOX", "Archive")
KEYWORDS = (b"$A", b"$B")


@dataclass
class Model:
    """What the mailboxes should hold: UID -> (system flags, keywords)."""

    boxes: dict[str, dict[int, tuple[int, frozenset[bytes]]]] = field(
        default_factory=lambda: {name: {} for name in NAMES}
    )
    uidnext: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NAMES, 1))

    def add(self, name: str, flags: int, keywords: frozenset[bytes]) -> int:
        uid = self.uidnext[name]
        self.uidnext[name] += 1
        self.boxes[name][uid] = (flags, keywords)
        return uid


names = st.sampled_from(NAMES)
flags = st.sampled_from([0, SEEN, DELETED, SEEN | DELETED, FLAGGED])
keywords = st.frozensets(st.sampled_from(KEYWORDS))
ranges = st.tuples(st.integers(1, 8), st.integers(0, 4)).map(lambda pair: (pair[0], pair[0] + pair[1]))
operations = st.one_of(
    st.tuples(st.just("append"), names, flags, keywords),
    st.tuples(st.just("deliver"), st.integers(1, 3)),
    st.tuples(st.just("store"), names, ranges, st.sampled_from(StoreMode), flags, keywords),
    st.tuples(st.just("copy"), names, names, ranges),
    st.tuples(st.just("move"), names, names, ranges),
    st.tuples(st.just("expunge"), names, ranges),
    st.tuples(st.just("remove"), names, ranges),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(operations, max_size=25))
def test_operations_agree_with_the_model(steps):
    asyncio.run(_run(steps))


async def _run(steps):
    with tempfile.TemporaryDirectory() as folder:
        database = await connect(f"sqlite:///{Path(folder)}/m.db", migrate=True)
        try:
            world = await make_world(database, accounts=1)
            model = Model()
            ids = {name: (await world.mailboxes.get(world.account, name)).id for name in NAMES}
            for step in steps:
                await _apply(world, model, ids, step)
            await _compare(world, model, ids)
        finally:
            await database.close()


async def _apply(world: World, model: Model, ids: dict[str, int], step) -> None:
    match step:
        case "append", name, system, words:
            box = await world.mailboxes.get(world.account, name)
            done = await world.append(box, FlagSet(system, tuple(words)))
            assert done.uid == model.add(name, system, words)
        case "deliver", count:
            for result in await world.deliver(*(world.job() for _ in range(count))):
                assert result.delivered[0].uid == model.add("INBOX", 0, frozenset())
        case "store", name, span, mode, system, words:
            flag_set = FlagSet(system, tuple(words))
            done = await world.messages.store_flags(world.account, ids[name], [span], mode, flag_set)
            chosen = _chosen(model, name, span)
            assert [row[0] for row in done.rows] == chosen
            for uid in chosen:
                model.boxes[name][uid] = _stored(model.boxes[name][uid], mode, system, words)
        case "copy" | "move", source, target, span:
            call = world.messages.copy if step[0] == "copy" else world.messages.move
            done = await call(world.account, ids[source], [span], ids[target])
            chosen = _chosen(model, source, span)
            content = [model.boxes[source][uid] for uid in chosen]
            assert (list(done.source), list(done.target)) == (chosen, [model.add(target, *one) for one in content])
            if step[0] == "move":
                for uid in chosen:
                    del model.boxes[source][uid]
        case "expunge" | "remove", name, span:
            call = world.messages.expunge if step[0] == "expunge" else world.messages.remove
            done = await call(world.account, ids[name], [span])
            box = model.boxes[name]
            gone = [u for u in _chosen(model, name, span) if step[0] == "remove" or box[u][0] & DELETED]
            assert list(done.uids) == gone
            for uid in gone:
                del box[uid]


def _chosen(model: Model, name: str, span: tuple[int, int]) -> list[int]:
    return [uid for uid in sorted(model.boxes[name]) if span[0] <= uid <= span[1]]


def _stored(old, mode: StoreMode, system: int, words: frozenset[bytes]):
    match mode:
        case StoreMode.REPLACE:
            return system, words
        case StoreMode.ADD:
            return old[0] | system, old[1] | words
        case StoreMode.REMOVE:
            return old[0] & ~system, old[1] - words


async def _compare(world: World, model: Model, ids: dict[str, int]) -> None:
    await world.check_counts()
    for name in NAMES:
        selected = await world.messages.select(ids[name])
        assert selected.mailbox.uidnext == model.uidnext[name]
        found = {}
        async for rows in world.messages.fetch_rows(ids[name], selected.uids):
            for row in rows:
                mask = row["flags"]
                words = frozenset(n for n in selected.keywords.names_of(mask) if not n.startswith(b"\\"))
                found[row["uid"]] = (mask & 31, words)
        assert found == model.boxes[name]
        unseen = [uid for uid, (system, _) in found.items() if not system & SEEN]
        assert selected.first_unseen == (min(unseen) if unseen else 0)
        changes = await world.messages.changes(ids[name], 0)
        assert {row["uid"] for row in changes.rows if row["expunged_at"] is None} == set(found)
