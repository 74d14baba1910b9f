"""SMTP replies (RFC 5321 §4.2) with enhanced status codes (RFC 2034), parsed from bytes as they arrive.

Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF
Reply-code = %x32-35 %x30-35 %x30-39
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache

from shared.errors import PacketboatError

MAX_LINE = 2048  # octets; RFC 5321 §4.5.3.1.5 says 512, real servers send more
MAX_LINES = 128  # of one reply
MAX_TEXT = 1000  # characters of a reply that are kept for people

_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?\Z", re.DOTALL)
_STATUS = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |\Z)")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class ReplyError(PacketboatError):
    """The peer sent what is no SMTP reply, or one beyond the limits."""


@dataclass(frozen=True)
class Reply:
    """A reply: `lines` are the texts after the code, fit to be shown and stored."""

    code: int
    lines: tuple[str, ...]

    @property
    def is_positive(self) -> bool:
        """Say whether it is a 2xx."""
        return 200 <= self.code < 300

    @property
    def is_permanent(self) -> bool:
        """Say whether it is a 5xx."""
        return 500 <= self.code < 600

    @cached_property
    def status(self) -> str:
        """The enhanced status (RFC 3463), or "" if there is none of the code's class."""
        match = _STATUS.match(self.lines[0]) if self.lines else None
        return match[1] if match and match[1][0] == str(self.code)[0] else ""

    @cached_property
    def text(self) -> str:
        """All lines as one, with the enhanced status once, shortened to MAX_TEXT."""
        prefix = f"{self.status} " if self.status else ""
        rest = (line.removeprefix(prefix) if prefix else line for line in self.lines[1:])
        return " ".join(part for part in (*self.lines[:1], *rest) if part)[:MAX_TEXT]

    def __str__(self) -> str:
        return f"{self.code} {self.text}".rstrip()


def local_reply(code: int, status: str, text: str) -> Reply:
    """Return a reply that we make ourselves, in place of one that the peer didn't send."""
    return Reply(code, (f"{status} {_clean(text)}",))


class ReplyParser:
    """Takes bytes as they come and gives whole replies."""

    def __init__(self) -> None:
        self._buffer = b""
        self._code = 0
        self._lines: list[str] = []

    def feed(self, data: bytes) -> list[Reply]:
        """Return the replies that `data` completes; ReplyError, and then the session is over."""
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        if len(self._buffer) > MAX_LINE:
            raise ReplyError(f"a reply line is longer than {MAX_LINE} octets")
        replies = []
        for line in lines:
            reply = self._line(line.removesuffix(b"\r"))
            if reply is not None:
                replies.append(reply)
        return replies

    @property
    def is_empty(self) -> bool:
        """Say whether nothing of a further reply has arrived."""
        return not self._buffer and not self._lines

    def _line(self, line: bytes) -> Reply | None:
        if len(line) > MAX_LINE:
            raise ReplyError(f"a reply line is longer than {MAX_LINE} octets")
        read, is_last = _read(line)
        if not self._lines and is_last:
            return read
        if self._lines and read.code != self._code:
            raise ReplyError(f"a reply's lines have the codes {self._code} and {read.code}")
        self._code = read.code
        self._lines += read.lines
        if not is_last:
            if len(self._lines) >= MAX_LINES:
                raise ReplyError(f"a reply has more than {MAX_LINES} lines")
            return None
        reply = Reply(self._code, tuple(self._lines))
        self._lines = []
        return reply


@lru_cache(maxsize=1024)  # hosts say the same to each MAIL, RCPT and DATA
def _read(line: bytes) -> tuple[Reply, bool]:
    """Return a line as a reply, and whether it is a reply's last one."""
    match = _LINE.match(line)
    if match is None:
        raise ReplyError(f"not an SMTP reply: {_clean(line[:80].decode('ascii', 'replace'))}")
    return Reply(int(match[1]), (_clean((match[3] or b"").decode("utf-8", "replace")),)), match[2] != b"-"


def _clean(text: str) -> str:
    return _UNPRINTABLE.sub("?", text).strip()
