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
SYNTAX_ERROR = b"SYNTAX_ERROR"  # in the place of a host that couldn't be read
INVALID_ROUTE = b"INVALID_ROUTE"

# atext and what isn't ASCII (RFC 6532)
_ATEXT = rb"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~\x80-\xff]"
# (No group is possessive: CPython 3.11.2 gets those wrong; what is repeated begins with what can't come before it.)
# Most of the world's addresses: [name or "name"] <local@host> or local@host, then a comma or the end.
_PLAIN = re.compile(
    rb"[ \t]*+(?:(?:\"([^\"\\\x00-\x1f]*+)\"[ \t]*+|(%b++(?:[ \t.]++%b++)*)?[ \t]*+)"
    rb"<(%b++(?:\.%b++)*)@(%b++(?:\.%b++)*)>"
    rb"|(%b++(?:\.%b++)*)@(%b++(?:\.%b++)*))[ \t]*+(?:,|\Z)" % ((_ATEXT,) * 10)
)
_ATOM = re.compile(_ATEXT + rb"++")
_ATOM_OR_DOT = re.compile(_ATEXT.replace(rb"[", rb"[.") + rb"*+")
_QUOTED = re.compile(rb"\"((?:[^\"\\]++|\\.)*)\"", re.DOTALL)
_DOMAIN_LITERAL = re.compile(rb"\[(?:[^\[\]\\]++|\\.)*\]", re.DOTALL)
_BLANK = re.compile(rb"[ \t\r\n]++")
_COMMENT = re.compile(rb"[^()\\]++|\\.?|[()]", re.DOTALL)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)
_SEPARATOR = re.compile(rb"[,;]")
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


def parse_addresses(value: bytes, *, to_the_end: bool = True) -> list[HeaderAddress]:
    """The entries of an unfolded address-list value; broken ones as far as they make sense; never raises.

    What follows something that is no separator is passed over up to the next comma or semicolon; with
    `to_the_end` false nothing after it counts, which is how Dovecot reads ENVELOPE's fields.
    """
    found = list[HeaderAddress]()
    at, end = 0, len(value)
    while at < end and len(found) < MAX_ADDRESSES:
        match = _PLAIN.match(value, at)
        if match is None:
            return (found + _Parser(value, at, to_the_end).parse())[:MAX_ADDRESSES]
        quoted, phrase, local, host, bare_local, bare_host = match.groups()
        if local is not None:
            found.append(HeaderAddress((phrase if quoted is None else quoted) or None, None, local, host))
        else:
            found.append(HeaderAddress(None, None, bare_local, bare_host))
        at = match.end()
    return found


class _Broken(Exception):
    """The grammar isn't followed here."""


@dataclass(slots=True)
class _Parser:
    """The slow way: RFC 5322's grammar with its obsolete forms, for whatever the pattern above doesn't match."""

    value: bytes
    at: int
    to_the_end: bool
    found: list[HeaderAddress] = field(default_factory=list)
    comment: bytes = b""  # the last one
    broke_off: bool = False  # in a comment without end

    def parse(self) -> list[HeaderAddress]:
        """address-list = address *("," address)"""
        follows = self.at > 0
        if not self._skips():
            if follows and self.broke_off:
                self._add(None, None, None, None)
            return self.found
        while len(self.found) < MAX_ADDRESSES:
            self._address()
            if not self._go_on_after(b","):
                break
            try:
                self.skip()
            except _Broken:
                self._add(None, None, None, None)
                break
            if self.ends:
                break
        return self.found

    # What comes between addresses

    def _skips(self) -> bool:
        try:
            self.skip()
        except _Broken:
            return False
        return not self.ends

    def _go_on_after(self, separator: bytes) -> bool:
        """Read the separator; what comes before it, where it should be, makes no sense."""
        if self.peek() == separator:
            self.at += 1
            return True
        if self.ends or not self.to_the_end:
            return False
        next_one = _SEPARATOR.search(self.value, self.at)
        self.at = next_one.end() if next_one else len(self.value)
        return not self.ends

    @property
    def ends(self) -> bool:
        return self.at >= len(self.value)

    def peek(self) -> bytes:
        return self.value[self.at : self.at + 1]

    def skip(self) -> None:
        """CFWS; _Broken in a comment without end."""
        while True:
            blank = _BLANK.match(self.value, self.at)
            if blank:
                self.at = blank.end()
            if self.peek() != b"(":
                return
            comment = _scan_comment(self.value, self.at)
            if comment is None:
                self.at, self.broke_off = len(self.value), True
                raise _Broken
            self.comment, self.at = comment

    # Addresses

    def _address(self) -> None:
        start = self.at
        try:
            name = self._phrase()
            is_group = self.peek() == b":"
        except _Broken:
            is_group = False
        if is_group:
            self._group(name)
        else:
            self.at = start
            self._mailbox()

    def _group(self, name: bytes) -> None:
        """group = display-name ":" [mailbox-list] ";" """
        self.at += 1
        self.found.append(HeaderAddress(None, None, name, None, Kind.GROUP_START))
        if self._skips() and self.peek() != b";":
            while len(self.found) < MAX_ADDRESSES:
                self._mailbox()
                if self.peek() != b",":
                    break
                self.at += 1
                if not self._skips():
                    break
        if self.peek() == b";":
            self.at += 1
            self._skips()
        self.found.append(GROUP_END)

    def _mailbox(self) -> None:
        """mailbox = name-addr / addr-spec"""
        start = self.at
        try:
            name = self._phrase()
            if self.peek() != b"<":
                raise _Broken
        except _Broken:
            self.at = start
            self._addr_spec()
        else:
            self._name_addr(name or None)

    def _name_addr(self, name: bytes | None) -> None:
        """angle-addr = "<" [route ":"] local-part "@" domain ">" """
        self.at += 1
        route = local = host = None
        try:
            self._skip_to_more()
            if self.peek() == b"@":
                route = self._route()
                self._skip_to_more()
            if self.peek() != b">":
                local = self._local_part()
                if self.peek() == b"@":
                    host = self._domain()
            if self.peek() != b">":
                raise _Broken
        except _BrokenLocal as broken:
            local, host = broken.local, SYNTAX_ERROR
        except _Broken:
            host = SYNTAX_ERROR
        else:
            self.at += 1
            self._skips()
        self._add(name, route, local, host)

    def _skip_to_more(self) -> None:
        self.skip()
        if self.ends:
            raise _Broken

    def _route(self) -> bytes:
        """obs-domain-list = "@" domain *("," "@" domain) ":" """
        hosts: list[bytes] = []
        try:
            while self.peek() == b"@":
                hosts.append(b"@" + self._domain())
                self.skip()
                while self.peek() == b",":
                    self.at += 1
                    self.skip()
            if self.peek() == b":":
                self.at += 1
                return b",".join(hosts)
        except _Broken:
            pass
        return INVALID_ROUTE

    def _addr_spec(self) -> None:
        """addr-spec = local-part "@" domain; a word or a phrase alone may be either's rest."""
        self.comment = b""
        name = local = host = None
        is_quoted = self.peek() == b'"'
        read = b""
        try:
            local = read = self._local_part()
        except _BrokenLocal as broken:
            read = broken.local
        except _Broken:
            pass
        has_host = self.peek() == b"@"
        if has_host:
            try:
                host = self._domain()
            except _Broken:
                host = None
        if self.comment:
            name = self.comment
        elif not has_host and (is_quoted or not self.ends):
            name, local = self._name_alone(read, local, is_quoted=is_quoted)
        self._add(name, None, local, host)

    def _name_alone(self, read: bytes, local: bytes | None, *, is_quoted: bool) -> tuple[bytes | None, bytes | None]:
        """Words without an address are a name; a single atom is a mailbox."""
        try:
            more = self._phrase()
        except _Broken as broken:
            more = broken.args[0] if broken.args else b""
        if more:
            return b" ".join((read, more)).strip(), None
        if is_quoted and local is not None:
            return local, None
        return None, local

    def _add(self, name: bytes | None, route: bytes | None, local: bytes | None, host: bytes | None) -> None:
        self.found.append(HeaderAddress(name, route, local or MISSING_MAILBOX, host or MISSING_HOST))

    # Words

    def _phrase(self) -> bytes:
        """phrase = 1*word, with dots; what it has up to where it breaks is _Broken's argument."""
        if self.peek() == b".":
            raise _Broken
        words: list[bytes] = []
        while not self.ends:
            if self.peek() == b'"':
                words.append(self._quoted_string())
            else:
                match = _ATOM_OR_DOT.match(self.value, self.at)
                assert match is not None
                words.append(match[0])
                self.at = match.end()
            try:
                self.skip()
            except _Broken:
                raise _Broken(b" ".join(words)) from None
            if self.peek() not in (b'"', b".") and not _ATOM.match(self.value, self.at):
                break
        return b" ".join(words)

    def _quoted_string(self) -> bytes:
        match = _QUOTED.match(self.value, self.at)
        if match is None:
            self.at = len(self.value)
            raise _Broken
        self.at = match.end()
        text = _QUOTED_PAIR.sub(rb"\1", match[1])
        return _SPACES.sub(b" ", text) if b"\n" in text or b"\r" in text else text

    def _local_part(self) -> bytes:
        """local-part = dot-atom / quoted-string, with white space and too many dots; _BrokenLocal."""
        if self.peek() == b'"':
            text = self._quoted_string()
            self.skip()
            return text
        text = b""
        while True:
            while self.peek() == b".":
                text += b"."
                self.at += 1
            if text and (self.ends or self.peek() == b"@"):
                return text
            match = _ATOM.match(self.value, self.at)
            if match is None:
                raise _BrokenLocal(text)
            text += match[0]
            self.at = match.end()
            self.skip()
            if self.peek() != b".":
                return text

    def _domain(self) -> bytes:
        """ "@" and a dot-atom or a domain-literal."""
        self.at += 1
        self.skip()
        literal = _DOMAIN_LITERAL.match(self.value, self.at)
        if literal is not None:
            self.at = literal.end()
            self.skip()
            return literal[0]
        atoms: list[bytes] = []
        while True:
            match = _ATOM.match(self.value, self.at)
            if match is None:
                raise _Broken
            atoms.append(match[0])
            self.at = match.end()
            self.skip()
            if self.peek() != b".":
                return b".".join(atoms)
            self.at += 1
            self.skip()


class _BrokenLocal(_Broken):
    """A local part that breaks off; `local` is what there was of it."""

    def __init__(self, local: bytes) -> None:
        super().__init__()
        self.local = local


def _scan_comment(value: bytes, at: int) -> tuple[bytes, int] | None:
    """The text of the comment that starts at `at`, nested ones included, and where it ends; None if nowhere."""
    depth = 0
    for match in _COMMENT.finditer(value, at):
        token = match[0]
        depth += (token == b"(") - (token == b")")
        if depth == 0:
            text = value[at + 1 : match.start()]
            return _SPACES.sub(b" ", _QUOTED_PAIR.sub(rb"\1", text)).strip(), match.end()
    return None
