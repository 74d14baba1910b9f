"""Moments as the date tests show them: zones, and the parts of RFC 5260 §4.1."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

from shared.message.date import days_since_epoch, format_date, parse_date

DATE_PARTS = (
    "year",
    "month",
    "day",
    "date",
    "julian",
    "hour",
    "minute",
    "second",
    "time",
    "iso8601",
    "std11",
    "zone",
    "weekday",
)
_MODIFIED_JULIAN_EPOCH = 40_587  # the day number of 1970-01-01
_ZONE = re.compile(r"([+-])(\d{2})(\d{2})\Z")
_SENT_ZONE = re.compile(rb"\d\s*([+-])(\d{2})(\d{2})\b")
_NAMED_ZONE = re.compile(rb"\d\s+(EST|EDT|CST|CDT|MST|MDT|PST|PDT)\b", re.IGNORECASE)
_NAMED_HOURS = {b"EST": -5, b"EDT": -4, b"CST": -6, b"CDT": -5, b"MST": -7, b"MDT": -6, b"PST": -8, b"PDT": -7}
_EARLIEST = -62_135_510_400  # the second day of the year 1
_LATEST = 253_402_214_400  # the last day of the year 9999: beyond it a datetime can't be shifted


def parse_zone(text: str) -> timedelta | None:
    """A zone such as +0100 as its offset; None when it is none (RFC 5260 §4)."""
    match = _ZONE.match(text)
    if match is None or int(match[3]) > 59 or int(match[2]) > 23:
        return None
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return -offset if match[1] == "-" else offset


def shifted(moment: datetime, offset: timedelta | None) -> datetime:
    """The same moment in the zone with an offset, UTC for None."""
    return moment.astimezone(timezone(offset) if offset is not None else UTC)


def sent_moment(value: bytes) -> datetime | None:
    """The date-time at the end of an unfolded field's value, in its own zone; None when there is none."""
    text = value.rpartition(b";")[2].strip() if b";" in value else value
    sent = parse_date(text)
    if sent is None or not _EARLIEST <= sent.moment < _LATEST:
        return None
    return datetime.fromtimestamp(sent.moment, UTC).astimezone(timezone(_sent_offset(text)))


def _sent_offset(text: bytes) -> timedelta:
    match = _SENT_ZONE.search(text)
    if match is not None and int(match[2]) < 24 and int(match[3]) < 60:
        offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
        return -offset if match[1] == b"-" else offset
    named = _NAMED_ZONE.search(text)
    return timedelta(hours=_NAMED_HOURS[named[1].upper()]) if named else timedelta(0)


def date_part(moment: datetime, part: str) -> str:
    """One part of a moment, in its own zone."""
    match part:
        case "year":
            return f"{moment.year:04d}"
        case "month":
            return f"{moment.month:02d}"
        case "day":
            return f"{moment.day:02d}"
        case "date":
            return f"{moment.year:04d}-{moment.month:02d}-{moment.day:02d}"
        case "julian":
            return str(days_since_epoch(moment.year, moment.month, moment.day) + _MODIFIED_JULIAN_EPOCH)
        case "hour":
            return f"{moment.hour:02d}"
        case "minute":
            return f"{moment.minute:02d}"
        case "second":
            return f"{moment.second:02d}"
        case "time":
            return f"{moment.hour:02d}:{moment.minute:02d}:{moment.second:02d}"
        case "iso8601":
            return f"{date_part(moment, 'date')}T{date_part(moment, 'time')}{_colon_zone(moment)}"
        case "std11":
            return format_date(moment)
        case "zone":
            return moment.strftime("%z")[:5]
        case _:
            return str(moment.isoweekday() % 7)


def _colon_zone(moment: datetime) -> str:
    zone = moment.strftime("%z")
    return "Z" if zone == "" else f"{zone[:3]}:{zone[3:5]}"
