"""xtext (RFC 3461 §4): any text in printable ASCII without spaces, "+" and "="."""

from __future__ import annotations

import re

from shared.errors import PacketboatError

_PLAIN = re.compile(rb"[^!-*,-<>-~]")
_ESCAPE = re.compile(r"\+([0-9A-F]{2})")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*\Z")


class XtextError(PacketboatError):
    """A text that isn't xtext."""


def encode_xtext(text: str) -> str:
    """Return `text` as xtext; what isn't ASCII is encoded as UTF-8 first."""
    octets = text.encode("utf-8", "surrogateescape")
    return _PLAIN.sub(lambda match: b"+%02X" % match[0][0], octets).decode("ascii")


def decode_xtext(text: str) -> str:
    """Return what xtext stands for; XtextError if it is none."""
    if not is_xtext(text):
        raise XtextError(f"not xtext: {text[:80]!r}")
    decoded = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
    return decoded.encode("latin-1").decode("utf-8", "replace")


def is_xtext(text: str) -> bool:
    """Say whether a text is xtext."""
    return bool(_XTEXT.match(text))
