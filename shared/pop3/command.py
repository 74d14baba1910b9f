"""The commands of POP3 as values, and their parser (RFC 1939, RFC 2449, RFC 2595, RFC 5034, RFC 6856)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

MAX_NUMBER = 0x7FFFFFFF
MAX_ARGUMENT = 12_288  # octets; the receive buffer's line limit is lower outside AUTH


class BadCommand(ValueError):
    """A command that can't be understood: answer -ERR with this text."""

    @property
    def text(self) -> bytes:
        """The text for the response."""
        return str(self).encode("ascii", "replace")


@dataclass(frozen=True, slots=True)
class User:
    name: bytes


@dataclass(frozen=True, slots=True)
class Pass:
    """Everything behind `PASS `, spaces too (RFC 1939 §7)."""

    password: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Auth:
    """`initial_response` is as on the wire."""

    mechanism: bytes
    initial_response: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Mechanisms:
    """A bare AUTH, which asks for a list."""


@dataclass(frozen=True, slots=True)
class Stls:
    pass


@dataclass(frozen=True, slots=True)
class Capa:
    pass


@dataclass(frozen=True, slots=True)
class Utf8:
    pass


@dataclass(frozen=True, slots=True)
class Lang:
    """`tag` is None for a bare LANG, which asks for a list."""

    tag: bytes | None = None


@dataclass(frozen=True, slots=True)
class Stat:
    pass


@dataclass(frozen=True, slots=True)
class List:
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Uidl:
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Retr:
    number: int


@dataclass(frozen=True, slots=True)
class Dele:
    number: int


@dataclass(frozen=True, slots=True)
class Top:
    """The header and the first `lines` lines of the body."""

    number: int
    lines: int


@dataclass(frozen=True, slots=True)
class Noop:
    pass


@dataclass(frozen=True, slots=True)
class Rset:
    pass


@dataclass(frozen=True, slots=True)
class Quit:
    pass


Command = (
    User
    | Pass
    | Auth
    | Mechanisms
    | Stls
    | Capa
    | Utf8
    | Lang
    | Stat
    | List
    | Uidl
    | Retr
    | Dele
    | Top
    | Noop
    | Rset
    | Quit
)


def parse_command(line: bytes) -> Command:
    """Parse a line without its CRLF; raises BadCommand."""
    keyword, space, argument = line.partition(b" ")
    parse = COMMANDS.get(keyword.upper())
    if parse is None:
        raise BadCommand("Unknown command")
    if len(argument) > MAX_ARGUMENT or b"\0" in argument or b"\r" in argument:
        raise BadCommand("Bad argument")
    return parse(argument if space else None)


_NUMBER = re.compile(rb"[0-9]{1,10}")
_TWO_NUMBERS = re.compile(rb"([0-9]{1,10}) +([0-9]{1,10}) *")
# RFC 5034 §4: auth-command = "AUTH" SP sasl-mech [SP initial-response]
_AUTH = re.compile(rb"([A-Za-z0-9_-]{1,20})(?: ([A-Za-z0-9+/=]+))?")

_LANGUAGE = re.compile(rb"\*|[A-Za-z0-9]{1,8}(?:-[A-Za-z0-9]{1,8}){0,8}")  # RFC 5646 §2.1

_Parse = Callable[[bytes | None], Command]


def _bare(make: Callable[[], Command]) -> _Parse:
    def parse(argument: bytes | None) -> Command:
        if argument is not None and argument.strip(b" "):
            raise BadCommand("Unexpected argument")
        return make()

    return parse


def _numbered(make: Callable[[int], Command]) -> _Parse:
    return lambda argument: make(_message(_required(argument)))


def _listing(make: Callable[[int | None], Command]) -> _Parse:
    def parse(argument: bytes | None) -> Command:
        given = (argument or b"").strip(b" ")
        return make(_message(given) if given else None)

    return parse


def _parse_user(argument: bytes | None) -> Command:
    return User(_required(argument))


def _parse_pass(argument: bytes | None) -> Command:
    if argument is None:
        raise BadCommand("Missing argument")
    return Pass(argument)


def _parse_top(argument: bytes | None) -> Command:
    match = _TWO_NUMBERS.fullmatch(_required(argument))
    if match is None:
        raise BadCommand("Expected a message number and a number of lines")
    return Top(_message(match[1]), min(int(match[2]), MAX_NUMBER))


def _parse_auth(argument: bytes | None) -> Command:
    if argument is None or not argument.strip(b" "):
        return Mechanisms()
    match = _AUTH.fullmatch(argument)
    if match is None:
        raise BadCommand("Expected a mechanism and base64")
    return Auth(match[1].upper(), match[2])


def _parse_lang(argument: bytes | None) -> Command:
    if argument is None or not argument.strip(b" "):
        return Lang()
    tag = argument.strip(b" ")
    if _LANGUAGE.fullmatch(tag) is None:
        raise BadCommand("Expected a language tag")
    return Lang(tag)


def _required(argument: bytes | None) -> bytes:
    given = (argument or b"").strip(b" ")
    if not given:
        raise BadCommand("Missing argument")
    return given


def _message(text: bytes) -> int:
    if _NUMBER.fullmatch(text) is None or not 0 < int(text) <= MAX_NUMBER:
        raise BadCommand("Expected a message number")
    return int(text)


COMMANDS: dict[bytes, _Parse] = {
    b"AUTH": _parse_auth,
    b"CAPA": _bare(Capa),
    b"DELE": _numbered(Dele),
    b"LANG": _parse_lang,
    b"LIST": _listing(List),
    b"NOOP": _bare(Noop),
    b"PASS": _parse_pass,
    b"QUIT": _bare(Quit),
    b"RETR": _numbered(Retr),
    b"RSET": _bare(Rset),
    b"STAT": _bare(Stat),
    b"STLS": _bare(Stls),
    b"TOP": _parse_top,
    b"UIDL": _listing(Uidl),
    b"USER": _parse_user,
    b"UTF8": _bare(Utf8),
}
