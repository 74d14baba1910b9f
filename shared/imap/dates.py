"""IMAP dates and date-times (RFC 3501 §9 date, date-time)."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone

_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_MONTH_NUMBERS = {name.lower(): number for number, name in enumerate(_MONTHS, 1)}

# date-text = date-day "-" date-month "-" date-year
_DATE = re.compile(rb"([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4})")
# date-time = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE
_DATE_TIME = re.compile(
    rb"([ 0-9]?[0-9])-([A-Za-z]{3})-([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-])([0-9]{2})([0-9]{2})"
)


class BadDate(ValueError):
    """Not a date, or a day that no calendar has."""


def parse_date(text: bytes) -> date:
    """Parse `1-Feb-1994`; raises BadDate."""
    match = _DATE.fullmatch(text)
    if match is None:
        raise BadDate("not a date")
    try:
        return date(int(match[3]), _month(match[2]), int(match[1]))
    except ValueError:
        raise BadDate("no such day") from None


def parse_date_time(text: bytes) -> datetime:
    """Parse `17-Jul-1996 02:44:25 -0700`, the day padded with a space or (imapflow) not at all; raises BadDate."""
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        raise BadDate("not a date-time")
    second = min(int(match[6]), 59)  # a leap second is none to datetime
    try:
        if int(match[6]) > 60 or int(match[9]) > 59:
            raise BadDate("no such time")
        offset = timedelta(hours=int(match[8]), minutes=int(match[9]))
        zone = timezone(-offset if match[7] == b"-" else offset)
        day = (int(match[3]), _month(match[2]), int(match[1]))
        moment = datetime(*day, int(match[4]), int(match[5]), second, tzinfo=zone)
        moment.astimezone(UTC)  # what can't be stored in UTC isn't accepted
    except (ValueError, OverflowError):
        raise BadDate("no such time") from None
    return moment


def render_date_time(moment: datetime) -> bytes:
    """Return an aware datetime in quotes, as INTERNALDATE has it."""
    offset = moment.utcoffset()
    if offset is None:
        raise ValueError("the datetime has no zone")
    minutes = int(offset.total_seconds()) // 60
    sign = b"-" if minutes < 0 else b"+"
    hours, minutes = divmod(abs(minutes), 60)
    day = b"%2d-%s-%04d" % (moment.day, _MONTHS[moment.month - 1], moment.year)
    time = b"%02d:%02d:%02d" % (moment.hour, moment.minute, moment.second)
    return b'"%s %s %s%02d%02d"' % (day, time, sign, hours, minutes)


def render_date(day: date) -> bytes:
    """Return `1-Feb-1994`."""
    return b"%d-%s-%04d" % (day.day, _MONTHS[day.month - 1], day.year)


def _month(name: bytes) -> int:
    number = _MONTH_NUMBERS.get(name.lower())
    if number is None:
        raise BadDate("no such month")
    return number
