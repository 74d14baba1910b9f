"""The named limits of the IMAP core; sizes are in octets."""

from __future__ import annotations

from dataclasses import dataclass

MAX_NUMBER = 0xFFFFFFFF  # RFC 3501 §9: number is unsigned 32 bits
MAX_LITERAL = (1 << 63) - 1  # RFC 9051 §9: number64; anything longer is a syntax error
MAX_TAG = 128
MAX_SEQUENCE_RANGES = 200_000
MAX_SEARCH_DEPTH = 50
MAX_SEARCH_KEYS = 1_000
MAX_LIST_DEPTH = 50
MAX_FETCH_ITEMS = 100
MAX_HEADER_FIELDS = 200
MAX_SECTION_DEPTH = 100
MAX_FLAGS = 100
MAX_KEYWORD = 100
MAX_LIST_PATTERNS = 50
MAX_STATUS_ITEMS = 30
MAX_ENABLE_NAMES = 50
MAX_ID_PAIRS = 30  # RFC 2971 §3.3
MAX_ID_FIELD = 30
MAX_ID_VALUE = 1024
MAX_CACHED_FLAG_LISTS = 1024


@dataclass(frozen=True, slots=True)
class ReceiveLimits:
    """How much of one command a session is willing to hold, in octets."""

    line: int = 64 * 1024
    """One line, without literals; longer ones are BAD and skipped to the next line end."""
    command: int = 256 * 1024
    """All lines and buffered literals of one command; streamed literals don't count."""
    discard: int = 64 * 1024 * 1024
    """What is skipped to get back in step; beyond it the connection is given up."""


BEFORE_LOGIN = ReceiveLimits(line=16 * 1024, command=32 * 1024, discard=256 * 1024)
AFTER_LOGIN = ReceiveLimits()
