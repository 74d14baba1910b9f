"""FETCH responses by the column."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.access.imap.render import internal_date, number_rows, plan_for, render
from shared.imap.dates import render_date_time
from shared.imap.fetch import BodySection, FetchItem
from shared.imap.flags import FLAGGED, SEEN, FlagLists, Keywords
from shared.imap.view import View
from shared.mailbox.rows import Want

FLAGS = FlagLists(Keywords())


@given(st.integers(-60_000_000_000, 250_000_000_000))
def test_internal_date_is_what_the_core_renders(seconds: int) -> None:
    assert internal_date(seconds) == render_date_time(datetime.fromtimestamp(seconds, UTC))


def test_flags_alone_read_no_more_than_they_show() -> None:
    plan = plan_for((FetchItem.UID, FetchItem.FLAGS))
    assert plan.want is Want.BRIEF
    rows = [(7, SEEN), (9, SEEN | FLAGGED)]
    assert b"".join(render(plan, rows, [1, 2], FLAGS)) == (
        b"* 1 FETCH (UID 7 FLAGS (\\Seen))\r\n* 2 FETCH (UID 9 FLAGS (\\Flagged \\Seen))\r\n"
    )


def test_sections_stand_where_they_were_asked_for() -> None:
    items = (BodySection(b"BODY[1]"), FetchItem.UID, BodySection(b"BODY[2]"))
    rows = [(7, SEEN, 1, 0, 10), (8, 0, 1, 0, 10)]
    bodies = [[b"one", None], [b"", b"100%"]]
    assert b"".join(render(plan_for(items), rows, [3, 4], FLAGS, bodies, frozenset((7,)))) == (
        b"* 3 FETCH (BODY[1] {3}\r\none UID 7 BODY[2] {0}\r\n FLAGS (\\Seen))\r\n"
        b"* 4 FETCH (BODY[1] NIL UID 8 BODY[2] {4}\r\n100%)\r\n"
    )


@pytest.mark.parametrize(
    ("known", "uids", "expected"),
    [
        (((1, 5),), [2, 3, 4], [(2, 2), (3, 3), (4, 4)]),
        (((1, 2), (8, 9)), [1, 2, 5, 8, 9], [(1, 1), (2, 2), (8, 3), (9, 4)]),
        (((3, 3),), [2, 3], [(3, 1)]),
        (((3, 3),), [], []),
    ],
)
def test_rows_get_the_numbers_that_the_client_knows(
    known: tuple[tuple[int, int], ...], uids: list[int], expected: list[tuple[int, int]]
) -> None:
    rows, numbers = number_rows(View(known), [(uid,) for uid in uids])
    assert [(row[0], number) for row, number in zip(rows, numbers, strict=True)] == expected
