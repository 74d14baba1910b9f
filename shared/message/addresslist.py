"""Address lists of header fields (RFC 5322 §3.4, obsolete forms too), read forgivingly in linear time."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

MAX_ADDRESSES = 20_000
"""Addresses of one field that are understood."""
MISSING_HOST = b"MISSING_DOMAIN"
MISSING_MAILBOX = b"MISSING_MAILBOX"

# Most of the world's addresses: [name or "name"] <local@host> or local@host, then a comma or the end.
_PLAIN = re.compile(
    rb"[ \t]*+(?:(?:\"([^\"\\]*+)\"[ \t]*+|([^\"(),:;<>@\[\]\\]*+))"
    rb"<([^\s\"(),:;<>@\[\]\\]++)@([^\s\"(),:;<>@\[\]\\]++)>"
    rb"|([^\s\"(),:;<>@\[\]\\]++)@([^\s\"(),:;<>@\[\]\\]++))[ \t]*+(?:,|\Z)"
)
_TOKEN = re.compile(
    rb"[ \t\r\n\0]++"
    rb"|\"(?:[^\"\\]++|\\.)*\"?"
    rb"|\[(?:[^\[\]\\]++|\\.)*\]?"
    rb"|[^\s\0\"(),:;<>@\[\]\\]++"
    rb"|.",
    re.DOTALL,
)
_COMMENT = re.compile(rb"[^()\\]++|\\.?|[()]", re.DOTALL)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)
_SPACES = re.compile(rb"[ \t\r\n\0]++")


class Kind(Enum):
    """What an entry of an address list is (RFC 3501 §7.4.2 lists groups among addresses)."""

    MAILBOX = auto()
    GROUP_START = auto()
    GROUP_END = auto()


class HeaderAddress(NamedTuple):
    """One entry of an address list: display name, obsolete route, local part and host, as octets."""

    name: bytes | None
    route: bytes | None
    mailbox: bytes | None
    host: bytes | None
    kind: Kind = Kind.MAILBOX


GROUP_END = HeaderAddress(None, None, None, None, Kind.GROUP_END)


def parse_addresses(value: bytes) -> list[HeaderAddress]:
    """The entries of an unfolded address-list value; broken ones as far as they make sense; never raises."""
    found = list[HeaderAddress]()
    at, end = 0, len(value)
    while at < end and len(found) < MAX_ADDRESSES:
        match = _PLAIN.match(value, at)
        if match is None:
            return (found + _Parser().parse(value, at))[:MAX_ADDRESSES]
        quoted, phrase, local, host, bare_local, bare_host = match.groups()
        if local is not None:
            name = phrase.rstrip() if quoted is None else quoted
            found.append(HeaderAddress(name or None, None, local, host))
        else:
            found.append(HeaderAddress(None, None, bare_local, bare_host))
        at = match.end()
    return found


@dataclass(slots=True)
class _Parser:
    """The slow way: one token at a time, for whatever the pattern above doesn't match."""

    found: list[HeaderAddress] = field(default_factory=list)
    words: list[bytes] = field(default_factory=list)  # what came before "<", or an address without one
    angle: list[bytes] = field(default_factory=list)
    comment: bytes = b""
    in_angle: bool = False
    had_angle: bool = False
    in_group: bool = False
    had_at: bool = False

    def parse(self, value: bytes, at: int) -> list[HeaderAddress]:
        end = len(value)
        while at < end and len(self.found) < MAX_ADDRESSES:
            if value[at] == 0x28:  # "("
                self.comment, at = _scan_comment(value, at)
                continue
            match = _TOKEN.match(value, at)
            if match is None:
                break
            at = match.end()
            self.take(match[0])
        self.finish()
        if self.in_group:
            self.found.append(GROUP_END)
        return self.found

    def take(self, token: bytes) -> None:
        if self.in_angle and token not in (b">", b";"):
            self.angle.append(token)
            return
        match token:
            case b"<":
                self.in_angle = self.had_angle = True
                self.angle = []
            case b">":
                self.in_angle = False
            case b",":
                self.finish()
            case b":" if not self.in_group and not self.had_angle and not self.had_at:
                self.start_group()
            case b";":
                self.end_group()
            case _:
                self.had_at = self.had_at or token == b"@"
                self.words.append(token)

    def start_group(self) -> None:
        name = _phrase(self.words) or self.comment
        self.reset()
        self.found.append(HeaderAddress(None, None, name or b"", None, Kind.GROUP_START))
        self.in_group = True

    def end_group(self) -> None:
        self.finish()
        if self.in_group:
            self.found.append(GROUP_END)
        self.in_group = False

    def finish(self) -> None:
        if self.had_angle:
            name = _phrase(self.words) or self.comment or None
            self.found.append(_address(name, self.angle))
        elif any(not token.isspace() for token in self.words):
            self.found.append(_address(self.comment or None, self.words))
        self.reset()

    def reset(self) -> None:
        self.words, self.angle, self.comment = [], [], b""
        self.in_angle = self.had_angle = self.had_at = False


def _address(name: bytes | None, tokens: list[bytes]) -> HeaderAddress:
    """From the tokens of [route] local "@" host."""
    route, tokens = _split_route(tokens)
    tokens = [_text(token) for token in tokens if not token.isspace()]
    if b"@" in tokens:
        last = len(tokens) - 1 - tokens[::-1].index(b"@")
        local, host = b"".join(tokens[:last]), b"".join(tokens[last + 1 :])
    else:
        local, host = b"".join(tokens), b""
    if name is None and not local and not host:
        return HeaderAddress(None, route, MISSING_MAILBOX, MISSING_HOST)
    return HeaderAddress(name, route, local or MISSING_MAILBOX, host or MISSING_HOST)


def _split_route(tokens: list[bytes]) -> tuple[bytes | None, list[bytes]]:
    """RFC 5322 §4.4 obs-route: "@" domain *("," "@" domain) ":" before the address."""
    tokens = [token for token in tokens if not token.isspace()]
    if not tokens or tokens[0] != b"@" or b":" not in tokens:
        return None, tokens
    colon = tokens.index(b":")
    return b"".join(tokens[:colon]), tokens[colon + 1 :]


def _phrase(tokens: list[bytes]) -> bytes:
    """Words as one display name, white space between them as one space."""
    return b"".join(b" " if token.isspace() else _text(token) for token in tokens).strip()


def _text(token: bytes) -> bytes:
    """A token's meaning: a quoted string without its quotes, its white space in one line."""
    if not token.startswith(b'"'):
        return token
    token = token[1:-1] if len(token) > 1 and token.endswith(b'"') else token[1:]
    return _SPACES.sub(b" ", _QUOTED_PAIR.sub(rb"\1", token))


def _scan_comment(value: bytes, at: int) -> tuple[bytes, int]:
    """The text of the comment that starts at `at`, nested ones included, and where it ends."""
    depth = 0
    for match in _COMMENT.finditer(value, at):
        token = match[0]
        depth += (token == b"(") - (token == b")")
        if depth == 0:
            text = value[at + 1 : match.start()]
            return _SPACES.sub(b" ", _QUOTED_PAIR.sub(rb"\1", text)).strip(), match.end()
    return value[at + 1 :].strip(), len(value)
