"""How fast the journal is here: `python -m tests.bench.journal [FOLDER]`, against bare fdatasync of the same groups."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from shared.ids import new_id
from shared.journal.limits import Limits
from shared.journal.reader import Reader
from shared.journal.reference import Reference
from shared.journal.writer import Writer
from shared.message.envelope import Envelope, Lane, Origin, Recipient

RECORDS = 20_000
APPENDERS = 50
BODY = os.urandom(4096)


async def append(root: Path) -> list[Reference]:
    writer = Writer(root, "mta-1", limits=Limits(reserve=0))
    await writer.open()
    references: list[Reference] = []
    waits: list[float] = []

    async def appender() -> None:
        for _ in range(RECORDS // APPENDERS):
            recipient = Recipient("bob@b.test", Lane.DELIVERY)
            origin = Origin("mx", "192.0.2.1", "client.a.test", "ESMTP")
            began = time.perf_counter()
            envelope = Envelope(new_id(), "alice@a.test", (recipient,), time.time_ns() // 1000, origin=origin)
            references.append(await writer.append(envelope, [b"Received: from a by b\r\n", BODY]))
            waits.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(appender() for _ in range(APPENDERS)))
    seconds = time.perf_counter() - began
    waits.sort()
    stats = writer.stats
    print(f"append     {RECORDS / seconds:8.0f}/s in groups of {stats.records / stats.groups:.0f}", end="")
    print(f", fdatasync {stats.sync_seconds:.2f} of {seconds:.2f} s", end="")
    print(f", p50 {waits[RECORDS // 2] * 1e3:.1f} ms, p99 {waits[RECORDS * 99 // 100] * 1e3:.1f} ms")
    await writer.close()
    return references


def bare(root: Path) -> None:
    """Write and sync groups of the same size with nothing around them."""
    descriptor = os.open(root / "bare", os.O_RDWR | os.O_CREAT)
    began, offset = time.perf_counter(), 0
    for _ in range(RECORDS // APPENDERS):
        offset += os.pwritev(descriptor, [BODY] * APPENDERS, offset)
        os.fdatasync(descriptor)
    print(f"bare       {RECORDS / (time.perf_counter() - began):8.0f}/s")
    os.close(descriptor)


def read(root: Path, references: list[Reference]) -> None:
    reader = Reader(root)
    for name, work in (
        ("read", lambda: [reader.read(reference) for reference in references]),
        ("read_many", lambda: reader.read_many(references)),
        ("scan", lambda: [list(reader.scan(s)) for s in {reference.segment for reference in references}]),
    ):
        began = time.perf_counter()
        work()
        print(f"{name:<10} {len(references) / (time.perf_counter() - began):8.0f}/s")


def main() -> None:
    root = Path(tempfile.mkdtemp(dir=sys.argv[1] if len(sys.argv) > 1 else ".", prefix="bench-"))
    try:
        bare(root)
        read(root, asyncio.run(append(root)))
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
