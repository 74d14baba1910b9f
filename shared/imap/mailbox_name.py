"""Mailbox names: modified UTF-7, INBOX, validity, and LIST patterns (RFC 3501 §5.1, §6.3.8)."""

from __future__ import annotations

import binascii
import re
import unicodedata
from dataclasses import dataclass, field

SEPARATOR = "/"
INBOX = "INBOX"
OTHER_USERS = "Other Users"  # the namespace of what others share (RFC 2342)
MAX_NAME = 1000  # octets of UTF-8
MAX_COMPONENT = 255  # octets of UTF-8
MAX_DEPTH = 30
MAX_WIRE_NAME = 4000  # octets of modified UTF-7

_PLAIN = re.compile(rb"[\x20-\x25\x27-\x7e]*")  # printable ASCII without "&"
_SHIFTED = re.compile(rb"&([A-Za-z0-9+,]*)-")
_WILDCARDS = re.compile(r"[*%]+")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class BadMailboxName(ValueError):
    """The octets are no mailbox name at all: answer BAD."""


class UnusableMailboxName(ValueError):
    """The name is understood, but no mailbox can have it: answer NO [CANNOT]."""


def decode(wire: bytes) -> str:
    """Return the name behind modified UTF-7, INBOX in upper case; raises BadMailboxName."""
    if len(wire) > MAX_WIRE_NAME:
        raise BadMailboxName("mailbox name too long")
    return canonical(decode_utf7(wire))


def decode_utf8(wire: bytes) -> str:
    """Return the name behind UTF-8, INBOX in upper case (RFC 6855 §3, RFC 9051 §5.1); raises BadMailboxName."""
    if len(wire) > MAX_WIRE_NAME:
        raise BadMailboxName("mailbox name too long")
    try:
        return canonical(wire.decode())
    except UnicodeDecodeError:
        raise BadMailboxName("mailbox name is not UTF-8") from None


def decode_utf7(wire: bytes) -> str:
    """Decode modified UTF-7 (RFC 3501 §5.1.3), strictly: every text has one encoding only."""
    if _PLAIN.fullmatch(wire):
        return wire.decode("ascii")
    text: list[str] = []
    position = 0
    shifted = False
    while position < len(wire):
        plain = _PLAIN.match(wire, position)
        if plain and plain[0]:
            text.append(plain[0].decode("ascii"))
            position, shifted = plain.end(), False
            continue
        match = _SHIFTED.match(wire, position)
        if match is None or (shifted and match[1]):
            raise BadMailboxName("mailbox name is not modified UTF-7")
        text.append(_decode_shifted(match[1]) if match[1] else "&")
        position, shifted = match.end(), bool(match[1])
    return "".join(text)


def encode(name: str) -> bytes:
    """Return the name in modified UTF-7 (RFC 3501 §5.1.3)."""
    if name.isascii() and name.isprintable() and "&" not in name:
        return name.encode("ascii")
    parts: list[bytes] = []
    run = ""
    for character in name:
        if " " <= character <= "~":
            parts.append(_encode_shifted(run))
            parts.append(b"&-" if character == "&" else character.encode("ascii"))
            run = ""
        else:
            run += character
    parts.append(_encode_shifted(run))
    return b"".join(parts)


def canonical(name: str) -> str:
    """Return the name with INBOX, alone or as the first component, in upper case (RFC 3501 §5.1)."""
    first, separator, rest = name.partition(SEPARATOR)
    return INBOX + separator + rest if first.upper() == INBOX and first.isascii() else name


def normal(name: str) -> str:
    """Return the name in Net-Unicode's normal form, which all new names have (RFC 9051 §5.1)."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def check_new_name(name: str) -> str:
    """Return a canonical, normal name fit for CREATE and RENAME, without a trailing separator.

    Raises UnusableMailboxName.
    """
    name = normal(canonical(name.removesuffix(SEPARATOR)))
    components = name.split(SEPARATOR)
    if not all(components):
        raise UnusableMailboxName("a part of the mailbox name is empty")
    if len(components) > MAX_DEPTH:
        raise UnusableMailboxName("mailbox name has too many levels")
    if _octets(name) > MAX_NAME or max(map(_octets, components)) > MAX_COMPONENT:
        raise UnusableMailboxName("mailbox name too long")
    if _CONTROL.search(name) or "*" in name or "%" in name:
        raise UnusableMailboxName("mailbox name has a character that is not allowed")
    return name


def shared_name(address: str, name: str = "") -> str:
    """Return what others call a mailbox of an account: `Other Users/bob@example.org/Projects`."""
    owner = address.replace("=", "=3D").replace(SEPARATOR, "=2F")
    return SEPARATOR.join((OTHER_USERS, owner, name) if name else (OTHER_USERS, owner))


def split_shared(name: str) -> tuple[str, str] | None:
    """Return the account's address and its own name of a mailbox; None for a personal name.

    Either is empty where the name is only a parent: `Other Users`, `Other Users/bob@example.org`.
    """
    if not name.startswith(OTHER_USERS):
        return None
    first, _, rest = name.partition(SEPARATOR)
    if first != OTHER_USERS:
        return None
    owner, _, inner = rest.partition(SEPARATOR)
    return owner.replace("=2F", SEPARATOR).replace("=3D", "=").lower(), canonical(inner)


def parents(name: str) -> list[str]:
    """Return the superior names, the outermost first: `a`, `a/b` for `a/b/c`."""
    components = name.split(SEPARATOR)
    return [SEPARATOR.join(components[:depth]) for depth in range(1, len(components))]


@dataclass(frozen=True, slots=True)
class ListPattern:
    """A LIST pattern appended to its reference; `*` matches anything, `%` all but the separator.

    All ways through the pattern are followed at once, one bit each, so matching takes
    time linear in the name whatever the pattern.
    """

    text: str
    _literal: dict[str, int] = field(init=False, repr=False, compare=False, default_factory=dict)
    _star: int = field(init=False, repr=False, compare=False, default=0)
    _percent: int = field(init=False, repr=False, compare=False, default=0)
    _length: int = field(init=False, repr=False, compare=False, default=0)

    def __post_init__(self) -> None:
        star = percent = 0
        # Neighbouring wildcards are one: "*" if any of them is
        elements = _WILDCARDS.sub(lambda run: "*" if "*" in run[0] else "%", canonical(self.text))
        for index, element in enumerate(elements):
            if element == "*":
                star |= 1 << index
            elif element == "%":
                percent |= 1 << index
            else:
                self._literal[element] = self._literal.get(element, 0) | 1 << index
        for name, value in (("_star", star), ("_percent", percent), ("_length", len(elements))):
            object.__setattr__(self, name, value)

    def matches(self, name: str) -> bool:
        """Say whether the pattern matches a whole name; INBOX, alone or as the first component, in any case."""
        caseless = len(INBOX) if name == INBOX or name.startswith(INBOX + SEPARATOR) else 0
        wild = self._star | self._percent
        reached = 1
        reached |= (reached & wild) << 1
        for position, character in enumerate(name):
            stay = self._star if character == SEPARATOR else wild
            literal = self._literal.get(character, 0)
            if position < caseless:
                literal |= self._literal.get(character.lower(), 0)
            reached = (reached & literal) << 1 | (reached & stay)
            if not reached:
                return False
            reached |= (reached & wild) << 1
        return bool(reached >> self._length & 1)


def _decode_shifted(base64: bytes) -> str:
    padded = base64.replace(b",", b"/") + b"=" * (-len(base64) % 4)
    try:
        text = binascii.a2b_base64(padded).decode("utf-16-be")
    except (binascii.Error, UnicodeDecodeError):
        raise BadMailboxName("mailbox name is not modified UTF-7") from None
    # What would be written otherwise: printable characters shifted, stray bits, superfluous padding
    if _encode_shifted(text) != b"&" + base64 + b"-" or any(" " <= character <= "~" for character in text):
        raise BadMailboxName("mailbox name is not modified UTF-7")
    return text


def _encode_shifted(run: str) -> bytes:
    if not run:
        return b""
    base64 = binascii.b2a_base64(run.encode("utf-16-be"), newline=False).rstrip(b"=").replace(b"/", b",")
    return b"&" + base64 + b"-"


def _octets(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
