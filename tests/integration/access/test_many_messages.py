"""SELECT of a mailbox with 100,000 messages: no list of them in memory before one is asked for."""

from __future__ import annotations

import tracemalloc

import pytest

from shared.db import Query, Work
from tests.integration.access.conftest import RunningAccess
from tests.integration.access.messages import HELLO

MESSAGES = 100_000
GAP = 50  # every so many messages one has been expunged
KEPT = 256 * 1024  # octets that a session may hold: 2,000 runs of UIDs take 16 KB
PEAK = 4 * 1024 * 1024  # and octets while SELECT is under way

_MULTIPLY = Query(
    "multiply",
    "INSERT INTO message (mailbox_id, uid, blob_id, modseq, flags, internal_date, saved_at, size, prefix) "
    "WITH RECURSIVE numbers (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM numbers WHERE n < :last) "
    "SELECT mailbox_id, n, blob_id, modseq, flags, internal_date, saved_at, size, prefix FROM message, numbers "
    "WHERE uid = 1 AND mailbox_id = 1 AND n % :gap <> 0",
)
_COUNT = Query(
    "count",
    "UPDATE mailbox SET uidnext = :last + 1, messages = (SELECT count(*) FROM message WHERE mailbox_id = 1) "
    "WHERE id = 1",
)


def _fill() -> Work[None]:
    yield _MULTIPLY(last=MESSAGES, gap=GAP)
    yield _COUNT(last=MESSAGES)


@pytest.mark.slow
def test_select_holds_no_list_of_messages(access: RunningAccess) -> None:
    access.deliver(HELLO)
    access.in_database(_fill)
    client = access.log_in(mailbox=None)
    client.ok("EXAMINE INBOX")
    client.ok("UNSELECT")
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        answer = client.ok("SELECT INBOX")
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert b"* %d EXISTS" % (MESSAGES - MESSAGES // GAP) in answer
    print(
        f"\nSELECT of {MESSAGES} messages in {MESSAGES // GAP} runs: {(after - before) // 1024} KiB kept, "
        f"{(peak - before) // 1024} KiB at most"
    )
    assert after - before < KEPT
    assert peak - before < PEAK
    assert client.ok("UID FETCH 99999 (FLAGS)") == [b"* 98000 FETCH (UID 99999 FLAGS (\\Recent))"]
