"""The named limits of the Sieve core: what a script may be and what one run of it may cost."""

from __future__ import annotations

from dataclasses import dataclass

MAX_ERRORS = 50
"""Errors of one script that are listed."""
MAX_NUMBER = (1 << 63) - 1
"""RFC 5228 §2.4.1 asks for 31 bits."""
MAX_MATCH_VALUES = 32
"""Match variables ${0} … that are kept (RFC 5229 §3.2 asks for ${0} to ${9})."""
MAX_CACHED_PATTERNS = 256
"""Patterns made by variables that are kept compiled."""
MAX_SHOWN_VALUE = 200
"""Characters of one value that a trace shows."""
MAX_SHOWN_VALUES = 10
"""Values of one test that a trace shows."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a script may be (checked when it is compiled) and what a run may use (an error, hence implicit keep)."""

    script_bytes: int = 256 * 1024
    """Octets of one script."""
    nesting: int = 32
    """Levels of blocks and tests."""
    list_items: int = 1000
    """Strings of one list."""
    pattern_length: int = 4096
    """Characters of one :matches or :regex pattern."""
    regex_memory: int = 512 * 1024
    """Octets that one compiled regular expression may take."""
    expressions: int = 200
    """Constant regular expressions of one script: each holds its memory for as long as the script is kept."""
    steps: int = 20_000
    """Commands and tests that one run executes, includes and loops counted."""
    work: int = 256 * 1024 * 1024
    """Characters that one run compares, decodes and copies: with linear-time matching, its time (about 2 s)."""
    actions: int = 32
    """Actions that one run yields, the implicit keep not counted."""
    redirects: int = 8
    """Redirects of one run, members of lists counted."""
    notifications: int = 4
    """Notifications of one run."""
    edits: int = 100
    """Changes to the header and the parts in one run."""
    header_value_length: int = 8192
    """Characters of a field that addheader adds."""
    variables: int = 256
    """Variables that have a value at once (RFC 5229 §4.3 asks for 128)."""
    variable_length: int = 64 * 1024
    """Characters of a variable; what is beyond is cut off (RFC 5229 §4.3 asks for 4000)."""
    variable_name: int = 64
    """Characters of a variable's name (RFC 5229 §4.3 asks for 32)."""
    string_length: int = 1024 * 1024
    """Characters of a string after its variables are put in."""
    include_depth: int = 10
    """Scripts that include one another (RFC 6609 §3.2)."""
    includes: int = 255
    """Included scripts of one run."""
    body_bytes: int = 4 * 1024 * 1024
    """Octets of body that tests and extracttext look at in one part."""
    flags: int = 64
    """IMAP flags set by a script."""
    loop_depth: int = 4
    """Levels of foreverypart (RFC 5703 §3)."""
    min_vacation_seconds: int = 24 * 3600
    """The shortest period of vacation's :days, in seconds (RFC 5230 §4.1)."""
    max_vacation_seconds: int = 90 * 24 * 3600
    """The longest period between two answers to one sender, in seconds."""
    max_duplicate_seconds: int = 90 * 24 * 3600
    """The longest time that duplicate remembers an id, in seconds (RFC 7352 §3.2)."""


DEFAULT = Limits()
