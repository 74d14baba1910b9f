"""Commands of a client, parsed (RFC 5804 §2)."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import Enum, StrEnum, auto

from shared.managesieve.limits import MAX_NUMBER, MAX_QUOTED, MAX_SCRIPT_NAME
from shared.managesieve.receive import Line, Literal


class Verb(StrEnum):
    """The commands of RFC 5804 §2."""

    AUTHENTICATE = "AUTHENTICATE"
    CAPABILITY = "CAPABILITY"
    CHECKSCRIPT = "CHECKSCRIPT"
    DELETESCRIPT = "DELETESCRIPT"
    GETSCRIPT = "GETSCRIPT"
    HAVESPACE = "HAVESPACE"
    LISTSCRIPTS = "LISTSCRIPTS"
    LOGOUT = "LOGOUT"
    NOOP = "NOOP"
    PUTSCRIPT = "PUTSCRIPT"
    RENAMESCRIPT = "RENAMESCRIPT"
    SETACTIVE = "SETACTIVE"
    STARTTLS = "STARTTLS"
    UNAUTHENTICATE = "UNAUTHENTICATE"


class Kind(Enum):
    """What an argument is."""

    TEXT = auto()
    OCTETS = auto()
    NAME = auto()
    NAME_OR_EMPTY = auto()
    NUMBER = auto()


# The arguments of each command, and how many of them must be there.
SIGNATURES: dict[Verb, tuple[tuple[Kind, ...], int]] = {
    Verb.AUTHENTICATE: ((Kind.TEXT, Kind.OCTETS), 1),
    Verb.CAPABILITY: ((), 0),
    Verb.CHECKSCRIPT: ((Kind.OCTETS,), 1),
    Verb.DELETESCRIPT: ((Kind.NAME,), 1),
    Verb.GETSCRIPT: ((Kind.NAME,), 1),
    Verb.HAVESPACE: ((Kind.NAME, Kind.NUMBER), 2),
    Verb.LISTSCRIPTS: ((), 0),
    Verb.LOGOUT: ((), 0),
    Verb.NOOP: ((Kind.TEXT,), 0),
    Verb.PUTSCRIPT: ((Kind.NAME, Kind.OCTETS), 2),
    Verb.RENAMESCRIPT: ((Kind.NAME, Kind.NAME), 2),
    Verb.SETACTIVE: ((Kind.NAME_OR_EMPTY,), 1),
    Verb.STARTTLS: ((), 0),
    Verb.UNAUTHENTICATE: ((), 0),
}

_TOKEN = re.compile(rb' *+(?:"((?:[^"\\\r\n\0]++|\\["\\])*)"|([0-9]++)(?= |\Z)|([A-Za-z][A-Za-z0-9_-]*+)(?= |\Z))')
_ESCAPE = re.compile(rb'\\(["\\])')
# RFC 5804 §1.6: no control characters, no line or paragraph separators
_NOT_IN_NAMES = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029/]")


class CommandError(Exception):
    """A command that can't be understood; the text is for the NO response."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command with its arguments: names and texts as str, scripts and SASL responses as octets, numbers."""

    verb: Verb
    arguments: tuple[str | bytes | int, ...] = ()

    def text(self, index: int) -> str:
        """An argument that is a name or text."""
        value = self.arguments[index]
        assert isinstance(value, str)
        return value

    def octets(self, index: int) -> bytes:
        """An argument that is a script or a SASL response."""
        value = self.arguments[index]
        assert isinstance(value, bytes)
        return value

    def number(self, index: int) -> int:
        """An argument that is a number."""
        value = self.arguments[index]
        assert isinstance(value, int)
        return value


def parse_command(line: Line) -> Command:
    """The command that a line is; CommandError says what is wrong."""
    tokens = _tokens(line)
    if not tokens or not isinstance(tokens[0], str):
        raise CommandError("A command is expected")
    try:
        verb = Verb(tokens[0].upper())
    except ValueError:
        raise CommandError("Unknown command") from None
    kinds, least = SIGNATURES[verb]
    given = tokens[1:]
    if not least <= len(given) <= len(kinds):
        raise CommandError(f"{verb} takes {_count(least, len(kinds))}")
    return Command(verb, tuple(_argument(token, kind) for token, kind in zip(given, kinds, strict=False)))


def parse_string(line: Line) -> bytes:
    """The one string that a client answers a SASL challenge with (RFC 5804 §2.1); CommandError if it is none."""
    tokens = _tokens(line)
    if len(tokens) != 1 or not isinstance(tokens[0], bytes):
        raise CommandError("One string is expected")
    return tokens[0]


def check_name(text: str) -> str:
    """A script's name (RFC 5804 §1.6), in normal form C; CommandError when it can't be one."""
    name = unicodedata.normalize("NFC", text)
    if not name or len(name.encode()) > MAX_SCRIPT_NAME or _NOT_IN_NAMES.search(name):
        raise CommandError("This can't be a script's name")
    return name


def _tokens(line: Line) -> list[str | bytes | int]:
    """Atoms as str, strings as octets, numbers."""
    found: list[str | bytes | int] = []
    after_literal = False
    for piece in line.pieces:
        if isinstance(piece, Literal):
            found.append(piece.octets)
            after_literal = True
            continue
        if after_literal and piece and not piece.startswith(b" "):
            raise CommandError("A space is expected after a literal")
        found += _text_tokens(piece)
    return found


def _text_tokens(text: bytes) -> list[str | bytes | int]:
    found: list[str | bytes | int] = []
    at, end = 0, len(text.rstrip(b" "))
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None or (at > 0 and text[at : at + 1] != b" "):
            raise CommandError("The command can't be parsed")
        quoted, number, atom = match.groups()
        if quoted is not None:
            if len(quoted) > MAX_QUOTED:
                raise CommandError(f"A quoted string has at most {MAX_QUOTED} octets")
            found.append(_ESCAPE.sub(rb"\1", quoted))
        else:
            found.append(atom.decode() if number is None else _number(number))
        at = match.end()
    return found


def _number(digits: bytes) -> int:
    value = int(digits) if len(digits) <= 10 else MAX_NUMBER + 1
    if value > MAX_NUMBER:
        raise CommandError("The number is too large")
    return value


def _argument(token: str | bytes | int, kind: Kind) -> str | bytes | int:
    if kind is Kind.NUMBER:
        if isinstance(token, int):
            return token
        raise CommandError("A number is expected")
    if not isinstance(token, bytes):
        raise CommandError("A string is expected")
    if kind is Kind.OCTETS:
        return token
    try:
        text = token.decode()
    except UnicodeDecodeError:
        raise CommandError("A string is not UTF-8") from None
    if kind is Kind.NAME or (kind is Kind.NAME_OR_EMPTY and text):
        return check_name(text)
    return text


def _count(least: int, most: int) -> str:
    if most == 0:
        return "no arguments"
    if least == most:
        return "one argument" if most == 1 else f"{most} arguments"
    return f"{least} to {most} arguments"
