"""The named limits of the ManageSieve core; sizes are in octets."""

from __future__ import annotations

from dataclasses import dataclass

MAX_QUOTED = 1024  # RFC 5804 §4: longer strings come as literals
MAX_SCRIPT_NAME = 512  # RFC 5804 §1.6: at least 128 characters, 512 octets
MAX_NUMBER = 0xFFFFFFFF  # RFC 5804 §4: number is unsigned 32 bits
MAX_LITERALS = 3  # no command takes more strings


@dataclass(frozen=True, slots=True)
class ReceiveLimits:
    """How much of one command a session is willing to hold."""

    line: int = 8192
    """The command without its literals."""
    literal: int = 256 * 1024
    """One literal: the largest script."""
    discard: int = 16 * 1024 * 1024
    """What is skipped to get back in step; a client that sends more is cut off."""


BEFORE_LOGIN = ReceiveLimits(literal=16 * 1024, discard=256 * 1024)
AFTER_LOGIN = ReceiveLimits()
