"""IMAP dates and date-times."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.imap.dates import BadDate, parse_date, parse_date_time, render_date, render_date_time


def test_dates() -> None:
    assert parse_date(b"1-feb-1994") == parse_date(b"01-Feb-1994") == date(1994, 2, 1)
    for text in (b"", b"1-Foo-1994", b"32-Jan-1994", b"0-Jan-1994", b"1-Jan-94", b"1-Jan-0000", b"1-Jan-19945"):
        with pytest.raises(BadDate):
            parse_date(text)


def test_date_times() -> None:
    moment = datetime(1996, 7, 17, 2, 44, 25, tzinfo=timezone(timedelta(hours=-7)))
    assert parse_date_time(b"17-Jul-1996 02:44:25 -0700") == moment
    assert render_date_time(moment) == b'"17-Jul-1996 02:44:25 -0700"'
    assert render_date_time(datetime(2001, 1, 2, 3, 4, 5, tzinfo=UTC)) == b'" 2-Jan-2001 03:04:05 +0000"'
    newfoundland = timezone(-timedelta(hours=3, minutes=30))
    assert parse_date_time(render_date_time(moment.astimezone(newfoundland))[1:-1]) == moment
    assert parse_date_time(b"31-Dec-2016 23:59:60 +0000").second == 59
    assert parse_date_time(b"7-Jul-1996 02:44:25 -0700").day == 7


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"17-Jul-1996 24:44:25 -0700",
        b"17-Jul-1996 02:44:61 -0700",
        b"17-Jul-1996 02:44:25 -0760",
        b"17-Jul-1996 02:44:25 -2400",
        b"17-Jul-1996 02:44:25",
        b"01-Jan-0001 00:00:00 +2300",
        b"31-Dec-9999 23:59:59 -2300",
        b"00-Jan-2000 00:00:00 +0000",
    ],
)
def test_bad_date_times(text: bytes) -> None:
    with pytest.raises(BadDate):
        parse_date_time(text)


def test_a_moment_without_a_zone_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="zone"):
        render_date_time(datetime(2001, 1, 2))


minutes = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(datetime(1970, 1, 2), datetime(9990, 1, 1), timezones=minutes))
def test_round_trip(moment: datetime) -> None:
    moment = moment.replace(microsecond=0)
    parsed = parse_date_time(render_date_time(moment)[1:-1])
    assert parsed == moment
    assert parsed.utcoffset() == moment.utcoffset()
    assert parse_date(render_date(moment.date())) == moment.date()
