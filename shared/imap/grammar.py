"""The formal syntax shared by all commands: atoms, strings, numbers, lists (RFC 3501 §9)."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from typing import TypeVar

from shared.imap import dates, mailbox_name
from shared.imap.flags import BadFlag, FlagSet, parse_flags
from shared.imap.limits import MAX_FLAGS, MAX_LITERAL, MAX_NUMBER
from shared.imap.sequence import BadSequence, SequenceSet

T = TypeVar("T")

# ATOM-CHAR = <any CHAR except atom-specials>; ASTRING-CHAR = ATOM-CHAR / resp-specials ("]")
_ATOM = re.compile(rb"[^\x00-\x20\x7f-\xff(){%*\"\\\]]+")
_ASTRING = re.compile(rb"[^\x00-\x20\x7f-\xff(){%*\"\\]+")
# list-char = ATOM-CHAR / list-wildcards / resp-specials
_LIST_MAILBOX = re.compile(rb"[^\x00-\x20\x7f-\xff(){\"\\]+")
# quoted = DQUOTE *(QUOTED-CHAR / UTF8-2 / UTF8-3 / UTF8-4) DQUOTE (RFC 6855 §3)
_QUOTED = re.compile(rb'"((?:[^\x00\r\n"\\]|\\["\\])*)"')
_ESCAPED = re.compile(rb'\\(["\\])')
_LITERAL = re.compile(rb"(~?)\{([0-9]{1,20})\+?\}\r\n")
_NUMBER = re.compile(rb"[0-9]+")
_SEQUENCE = re.compile(rb"[0-9*:,$]+")
# tag = 1*<any ASTRING-CHAR except "+">
_TAG = re.compile(rb"[^\x00-\x20\x7f-\xff(){%*\"\\+]+")
_WORD = re.compile(rb"[A-Za-z0-9.]+")
_FLAG = re.compile(rb"\\?[^\x00-\x20\x7f-\xff(){%*\"\\\]]+")


class SyntaxFailure(ValueError):
    """The command isn't what the grammar wants; the text tells its client what was expected."""


class Scanner:
    """Reads one command's octets from left to right; every method raises SyntaxFailure."""

    __slots__ = ("position", "text", "utf8")

    def __init__(self, text: bytes, position: int = 0, *, utf8: bool = False) -> None:
        self.text = text
        self.position = position
        self.utf8 = utf8  # mailbox names are UTF-8, not modified UTF-7 (RFC 6855, RFC 9051)

    # Single characters

    def at_end(self) -> bool:
        """Say whether everything was read."""
        return self.position >= len(self.text)

    def end(self) -> None:
        """Expect the end."""
        if self.position < len(self.text):
            raise SyntaxFailure("Unexpected text after the command")

    def peek(self) -> bytes:
        """Return the next octet without reading it, empty at the end."""
        return self.text[self.position : self.position + 1]

    def accept(self, octets: bytes) -> bool:
        """Read these octets if they come next."""
        if self.text.startswith(octets, self.position):
            self.position += len(octets)
            return True
        return False

    def accept_word(self, word: bytes) -> bool:
        """Read a word in any case and the space after it if they come next."""
        end = self.position + len(word)
        found = self.text[self.position : end].upper() == word and self.text.startswith(b" ", end)
        if found:
            self.position = end + 1
        return found

    def expect(self, octets: bytes) -> None:
        """Read these octets."""
        if not self.accept(octets):
            raise SyntaxFailure(f"Expected {octets.decode('ascii')!r}")

    def space(self) -> None:
        """Read the space between two arguments."""
        if not self.accept(b" "):
            raise SyntaxFailure("Missing argument" if self.at_end() else "Expected a space")

    # Words

    def match(self, pattern: re.Pattern[bytes], what: str) -> bytes:
        """Read what a pattern matches."""
        found = pattern.match(self.text, self.position)
        if found is None:
            raise SyntaxFailure(f"Expected {what}")
        self.position = found.end()
        return found[0]

    def tag(self) -> bytes:
        """Read a tag."""
        return self.match(_TAG, "a tag")

    def atom(self) -> bytes:
        """Read an atom."""
        return self.match(_ATOM, "an atom")

    def keyword(self) -> bytes:
        """Read a name of the grammar (a command, a FETCH item) in upper case."""
        return self.match(_WORD, "a name").upper()

    def atom_keyword(self) -> bytes:
        """Read an atom that names something (STATUS=SIZE, X-GM-RAW) in upper case."""
        return self.atom().upper()

    def number(self, largest: int = MAX_NUMBER) -> int:
        """Read a number."""
        digits = self.match(_NUMBER, "a number")
        if len(digits) > 20 or int(digits) > largest:
            raise SyntaxFailure("Number too large")
        return int(digits)

    def sequence_set(self) -> SequenceSet:
        """Read a sequence set."""
        try:
            return SequenceSet.parse(self.match(_SEQUENCE, "a sequence set"))
        except BadSequence as error:
            raise SyntaxFailure(f"Bad sequence set: {error}") from None

    # Strings

    def string(self) -> bytes:
        """Read a quoted string or a literal."""
        if self.peek() == b'"':
            return self.quoted()
        return self.literal()

    def quoted(self) -> bytes:
        """Read a quoted string."""
        found = _QUOTED.match(self.text, self.position)
        if found is None:
            raise SyntaxFailure("Expected a quoted string")
        self.position = found.end()
        if not found[1].isascii():
            _check_utf8(found[1])
        return _ESCAPED.sub(rb"\1", found[1]) if b"\\" in found[1] else found[1]

    def literal(self, binary: bool = False) -> bytes:
        """Read a literal, or also a literal8 when `binary`; NUL only in the latter."""
        found = _LITERAL.match(self.text, self.position)
        if found is None or int(found[2]) > MAX_LITERAL:
            raise SyntaxFailure("Expected a string")
        if found[1] and not binary:
            raise SyntaxFailure("Unexpected literal8")
        data = self.text[found.end() : found.end() + int(found[2])]
        if len(data) != int(found[2]):
            raise SyntaxFailure("Literal is not whole")
        if not found[1] and b"\0" in data:
            raise SyntaxFailure("NUL in a literal")
        self.position = found.end() + len(data)
        return data

    def astring(self) -> bytes:
        """Read an atom-like string, a quoted string or a literal."""
        found = _ASTRING.match(self.text, self.position)
        if found is not None:
            self.position = found.end()
            return found[0]
        return self.string()

    def nstring(self) -> bytes | None:
        """Read a string or NIL."""
        if self.peek() in (b'"', b"{"):
            return self.string()
        if self.atom().upper() != b"NIL":
            raise SyntaxFailure("Expected a string or NIL")
        return None

    # What strings stand for

    def mailbox(self) -> str:
        """Read a mailbox name."""
        return _decode_name(self.astring(), self.utf8)

    def list_mailbox(self) -> str:
        """Read a mailbox name with wildcards."""
        found = _LIST_MAILBOX.match(self.text, self.position)
        if found is None:
            return _decode_name(self.string(), self.utf8)
        self.position = found.end()
        return _decode_name(found[0], self.utf8)

    def date(self) -> date:
        """Read a date, quoted or not."""
        text = self.quoted() if self.peek() == b'"' else self.atom()
        try:
            return dates.parse_date(text)
        except dates.BadDate as error:
            raise SyntaxFailure(f"Bad date: {error}") from None

    def date_time(self) -> datetime:
        """Read a quoted date-time."""
        try:
            return dates.parse_date_time(self.quoted())
        except dates.BadDate as error:
            raise SyntaxFailure(f"Bad date-time: {error}") from None

    # Lists

    def parenthesised(self, item: Callable[[], T], limit: int, what: str) -> list[T]:
        """Read `(item item …)`, which may be empty."""
        self.expect(b"(")
        items: list[T] = []
        if self.accept(b")"):
            return items
        while True:
            if len(items) >= limit:
                raise SyntaxFailure(f"Too many {what}")
            items.append(item())
            if self.accept(b")"):
                return items
            self.space()

    def flag_list(self) -> FlagSet:
        """Read a parenthesised list of flags."""
        return _flag_set(self.parenthesised(self._flag, MAX_FLAGS, "flags"))

    def flags(self) -> FlagSet:
        """Read flags, with parentheses or without (RFC 3501 §9 store-att-flags)."""
        if self.peek() == b"(":
            return self.flag_list()
        names = [self._flag()]
        while self.accept(b" "):
            if len(names) >= MAX_FLAGS:
                raise SyntaxFailure("Too many flags")
            names.append(self._flag())
        return _flag_set(names)

    def flag(self) -> bytes:
        """Read a flag, or a mailbox's attribute."""
        return self._flag()

    def _flag(self) -> bytes:
        return self.match(_FLAG, "a flag")


def _check_utf8(octets: bytes) -> None:
    """Refuse what isn't UTF-8 in a quoted string (RFC 6855 §3)."""
    try:
        octets.decode()
    except UnicodeDecodeError:
        raise SyntaxFailure("A quoted string isn't UTF-8") from None


def _flag_set(names: list[bytes]) -> FlagSet:
    try:
        return parse_flags(names)
    except BadFlag as error:
        raise SyntaxFailure(f"Bad flag: {error}") from None


def _decode_name(wire: bytes, utf8: bool) -> str:
    try:
        return mailbox_name.decode_utf8(wire) if utf8 else mailbox_name.decode(wire)
    except mailbox_name.BadMailboxName as error:
        raise SyntaxFailure(f"Bad mailbox name: {error}") from None
