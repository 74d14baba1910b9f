"""Date fields, read and written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.message.date import format_date, parse_date

BASE = int(datetime(2026, 11, 23, 3, 52, tzinfo=UTC).timestamp())
DAY = (datetime(2026, 11, 23, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days


@pytest.mark.parametrize(
    ("value", "moment", "day"),
    [
        (b"Mon, 23 Nov 2026 03:52:00 +0000", BASE, DAY),
        (b"23 Nov 2026 03:52 GMT", BASE, DAY),
        (b"Mon, 23 Nov 2026 05:52:00 +0200 (CEST)", BASE, DAY),
        (b"Sun, 22 Nov 2026 22:52:00 EST", BASE, DAY - 1),
        (b"Sun, 22 Nov 26 21:52:00 -0600", BASE, DAY - 1),
        (b"Monday, 23-Nov-26 03:52:00 GMT", BASE, DAY),
        (b"Mon, 23  Nov  126 3:52:00", BASE, DAY),
        (b"23 Nov 2026", BASE - 3 * 3600 - 52 * 60, DAY),
    ],
)
def test_dates_as_senders_write_them(value, moment, day):
    assert parse_date(value) == (moment, day)


@pytest.mark.parametrize(
    "value", [b"", b"yesterday", b"99 Nov 2026 00:00:00 +0000", b"23 Foo 2026", b"23 Nov 2026 99:00:00 +0000"]
)
def test_nonsense_is_no_date(value):
    assert parse_date(value) is None


@given(
    st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(9999, 1, 1)),
    st.integers(-14 * 60, 14 * 60),
)
def test_written_dates_are_read_back(naive, minutes):
    moment = naive.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=minutes)))
    parsed = parse_date(format_date(moment).encode())
    assert parsed is not None
    assert parsed.moment == int(moment.timestamp())
    assert parsed.day == naive.toordinal() - datetime(1970, 1, 1).toordinal()


@given(st.binary(max_size=80) | st.text("0123456789 :+-JanNov,", max_size=60).map(str.encode))
def test_any_bytes_give_a_date_or_none(value):
    parsed = parse_date(value)
    assert parsed is None or isinstance(parsed.moment, int)
