"""The named limits of the IMAP core; sizes are in octets."""

from __future__ import annotations

from dataclasses import dataclass

MAX_NUMBER = 0xFFFFFFFF  # RFC 3501 §9: number is unsigned 32 bits
MAX_LITERAL = (1 << 63) - 1  # RFC 9051 §9: number64; anything longer is a syntax error
MAX_UNASKED_LITERAL = 4096  # octets that aren't announced first where LITERAL- is offered (RFC 7888 §5)
MAX_MODSEQ = (1 << 63) - 1  # RFC 7162 §7: mod-sequence-value is unsigned 63 bits
MAX_TAG = 128
MAX_SEQUENCE_RANGES = 200_000
MAX_SEARCH_DEPTH = 50
MAX_SEARCH_KEYS = 1_000
MAX_SEARCH_TEXTS = 100  # that one search looks for in messages; each costs a pass over the mailbox
MAX_RETURN_OPTIONS = 20
MAX_SORT_KEYS = 50
MAX_SOURCES = 1_000  # mailboxes that one ESEARCH names
MAX_CONTEXTS = 20  # results that a session keeps up to date (RFC 5267)
MAX_CONTEXT_TAGS = 50  # in one CANCELUPDATE
MAX_CONTEXT_RESULTS = 100_000  # messages in a session's searches that are kept up to date
MAX_SORTED_RESULTS = 20_000  # the same of SORT
MAX_FUZZY_WORDS = 20
MAX_THREAD_DEPTH = 2_000  # answers to answers
MAX_THREAD_PHANTOMS = 300_000  # messages that are referred to and not there, in one THREAD
MAX_FETCH_ITEMS = 100
MAX_EVENT_GROUPS = 100  # of NOTIFY
MAX_EVENTS = 20  # in one of them
MAX_FETCH_MODIFIERS = 4
MAX_SELECT_PARAMETERS = 2
MAX_HEADER_FIELDS = 200
MAX_SECTION_DEPTH = 100
MAX_FLAGS = 100
MAX_KEYWORD = 100
MAX_LIST_PATTERNS = 50
MAX_STATUS_ITEMS = 30
MAX_MAILBOX_OPTIONS = 20  # of LIST, CREATE or GETMETADATA
MAX_QUOTA_RESOURCES = 20
MAX_ENABLE_NAMES = 50
MAX_ID_PAIRS = 30  # RFC 2971 §3.3
MAX_ID_FIELD = 30
MAX_ID_VALUE = 1024
MAX_APPEND_MESSAGES = 1_000  # of one MULTIAPPEND
MAX_CATENATE_PARTS = 1_000  # of one message
MAX_URL = 8 * 1024
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
