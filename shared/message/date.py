"""Dates of header fields (RFC 5322 §3.3, obsolete forms too), without a clock or a locale."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH_NUMBER = {name.encode(): number for number, name in enumerate(_MONTHS, 1)}
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_ZONES = {  # RFC 5322 §4.3; minutes east of UTC
    b"EST": -300,
    b"EDT": -240,
    b"CST": -360,
    b"CDT": -300,
    b"MST": -420,
    b"MDT": -360,
    b"PST": -480,
    b"PDT": -420,
}
_DATE = re.compile(
    rb"(?:[A-Za-z]{3,9},?\s*+)?(\d{1,2})[\s-]++([A-Za-z]{3})[a-z]*+[\s.-]++(\d{2,4})"
    rb"(?:\s++(\d{1,2})[:.](\d{2})(?:[:.](\d{2})(?:\.\d++)?)?(?:\s*+([+-]\d{4}|[A-Za-z]{1,5}))?)?"
)
MAX_DATE_BYTES = 200
"""Bytes of a Date field that are looked at."""
SECONDS_PER_DAY = 86_400


class SentDate(NamedTuple):
    """A message's Date: the moment, in unix seconds, and the day as the sender's calendar had it.

    The day (days since 1970-01-01) is what SEARCH SENTBEFORE, SENTON and SENTSINCE compare (RFC 3501 §6.4.4).
    """

    moment: int
    day: int


def parse_date(value: bytes) -> SentDate | None:
    """The date of an unfolded Date value, or None when it makes no sense; an unknown zone counts as UTC."""
    match = _DATE.search(value[:MAX_DATE_BYTES])
    if match is None:
        return None
    day, month_name, year_text, hour, minute, second, zone = match.groups()
    month = _MONTH_NUMBER.get(month_name.lower())
    if month is None or not 1 <= int(day) <= 31:
        return None
    days = days_since_epoch(_year(year_text), month, int(day))
    seconds = int(hour or 0) * 3600 + int(minute or 0) * 60 + int(second or 0)
    if seconds > SECONDS_PER_DAY:
        return None
    return SentDate(days * SECONDS_PER_DAY + seconds - _zone_minutes(zone) * 60, days)


def format_date(moment: datetime) -> str:
    """An aware datetime as an RFC 5322 date-time, e.g. Mon, 23 Nov 2026 03:52:00 +0000."""
    # by hand, since strftime takes longer than all else in a Received field
    month = _MONTHS[moment.month - 1].capitalize()
    offset = moment.utcoffset()
    minutes = int(offset.total_seconds()) // 60 if offset is not None else 0
    sign = "-" if minutes < 0 or offset is None else "+"
    return (
        f"{_DAYS[moment.weekday()]}, {moment.day:02d} {month} {moment.year:04d} "
        f"{moment.hour:02d}:{moment.minute:02d}:{moment.second:02d} "
        f"{sign}{abs(minutes) // 60:02d}{abs(minutes) % 60:02d}"
    )


def days_since_epoch(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 to a day of the Gregorian calendar."""
    year -= month <= 2
    era_day = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return year * 365 + year // 4 - year // 100 + year // 400 + era_day - 719_468


def _year(text: bytes) -> int:
    """RFC 5322 §4.3: two digits below 50 are 20xx, two above and three digits count from 1900."""
    year = int(text)
    if len(text) == 2:
        return year + (2000 if year < 50 else 1900)
    return year + 1900 if len(text) == 3 else year


def _zone_minutes(zone: bytes | None) -> int:
    if zone is None:
        return 0
    if zone[:1] in b"+-":
        minutes = int(zone[1:3]) * 60 + int(zone[3:5])
        return -minutes if zone[:1] == b"-" else minutes
    return _ZONES.get(zone.upper(), 0)
