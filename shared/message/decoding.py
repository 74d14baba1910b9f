"""Content-Transfer-Encodings undone chunk by chunk, for parts of any size (RFC 2045 §6); broken text never raises."""

from __future__ import annotations

import re
from binascii import a2b_base64, a2b_qp
from typing import Protocol

_NO_BASE64 = re.compile(rb"[^A-Za-z0-9+/=]+")
MAX_HELD_LINE = 64 * 1024
"""Octets of a quoted-printable line that are held until its end is seen."""


class Decoder(Protocol):
    """Takes a body piece by piece."""

    def feed(self, chunk: bytes) -> bytes:
        """Take octets and return what they decode to as far as that is clear."""

    def finish(self) -> bytes:
        """Return the rest."""


def decoder_for(encoding: bytes) -> Decoder | None:
    """A new decoder for an encoding (lower case), None for one that nobody knows."""
    make = _DECODERS.get(encoding)
    return make() if make is not None else None


class Identity:
    """7bit, 8bit and binary."""

    def feed(self, chunk: bytes) -> bytes:
        return chunk

    def finish(self) -> bytes:
        return b""


class Base64:
    """Whatever isn't of the alphabet is passed over; padding ends a stretch, and another one may follow."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        text = self._held + _NO_BASE64.sub(b"", chunk)
        *ended, last = text.split(b"=")
        decoded = b"".join([_decode_stretch(stretch) for stretch in ended])
        whole = len(last) // 4 * 4
        self._held = last[whole:]
        return decoded + a2b_base64(last[:whole])

    def finish(self) -> bytes:
        held, self._held = self._held, b""
        return _decode_stretch(held)


class QuotedPrintable:
    """Line by line; a line without end is cut where no escape is."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        text = self._held + chunk
        end = text.rfind(b"\n") + 1
        if not end and len(text) > MAX_HELD_LINE:
            end = len(text) - 2 if b"=" in text[-2:] else len(text)
        self._held = text[end:]
        return a2b_qp(text[:end])

    def finish(self) -> bytes:
        held, self._held = self._held, b""
        return a2b_qp(held)


def _decode_stretch(text: bytes) -> bytes:
    if len(text) % 4 == 1:
        text = text[:-1]
    return a2b_base64(text + b"=" * (-len(text) % 4))


_DECODERS: dict[bytes, type[Decoder]] = {
    b"7bit": Identity,
    b"8bit": Identity,
    b"binary": Identity,
    b"base64": Base64,
    b"quoted-printable": QuotedPrintable,
}
