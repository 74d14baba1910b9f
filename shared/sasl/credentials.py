"""What a client claims to be, from whichever mechanism or login command it used."""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_IDENTITY = 512  # octets
MAX_PASSWORD = 1024  # octets


class BadCredentials(ValueError):
    """A name or password that nobody can have: not UTF-8, empty, with control characters or too long."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A login name and its password, still to be verified by the caller."""

    identity: str
    password: str = field(repr=False)


def credentials(identity: bytes, password: bytes) -> Credentials:
    """Return the credentials in two wire strings (IMAP LOGIN, POP3 USER and PASS); raises BadCredentials."""
    return Credentials(decode_identity(identity), _decode(password, MAX_PASSWORD))


def decode_identity(identity: bytes) -> str:
    """Return a login name; raises BadCredentials."""
    name = _decode(identity, MAX_IDENTITY)
    if not name.isprintable():
        raise BadCredentials("control character in a login name")
    return name


def _decode(octets: bytes, limit: int) -> str:
    if not octets or len(octets) > limit or b"\0" in octets:
        raise BadCredentials("empty, too long, or with a NUL")
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise BadCredentials("not UTF-8") from None
