"""Transparency of message text (RFC 5321 §4.5.2): a dot before each line that begins with one."""

from __future__ import annotations

from shared.errors import PacketboatError


class BareLineEnd(PacketboatError):
    """The text has a CR or LF that isn't part of a CRLF: the next hop might see another end of data in it."""


class DotStuffer:
    """Encodes one message, given in pieces of any size."""

    def __init__(self) -> None:
        self._last = b"\r\n"  # the two octets before the next piece; a message begins at a line's start

    def encode(self, piece: bytes) -> bytes:
        """Return a piece as it goes over the wire; BareLineEnd if it mustn't."""
        if not piece:
            return b""
        before, self._last = self._last, (self._last + piece[-2:])[-2:]
        _refuse_bare_line_ends(before[-1:], piece)
        stuffed = piece.replace(b"\r\n.", b"\r\n..")
        if before == b"\r\n" and piece[:1] == b".":
            return b"." + stuffed
        if before[-1:] == b"\r" and piece[:2] == b"\n.":
            return b"\n." + stuffed[1:]
        return stuffed

    def end(self) -> bytes:
        """Return what ends the data; BareLineEnd if the last octet is a CR."""
        if self._last[-1:] == b"\r":
            raise BareLineEnd("the message ends with a bare CR")
        return b".\r\n" if self._last == b"\r\n" else b"\r\n.\r\n"


def stuff(message: bytes) -> bytes:
    """Return a whole message as it goes over the wire, its end included; BareLineEnd if it mustn't."""
    stuffer = DotStuffer()
    return stuffer.encode(message) + stuffer.end()


def _refuse_bare_line_ends(before: bytes, piece: bytes) -> None:
    """Count rather than search: three passes at memory speed."""
    pairs = piece.count(b"\r\n")
    feeds = piece.count(b"\n") - (before == b"\r" and piece[:1] == b"\n")
    returns = piece.count(b"\r") - piece.endswith(b"\r")
    unpaired = before == b"\r" and piece[:1] != b"\n"
    if feeds != pairs or returns != pairs or unpaired:
        raise BareLineEnd("the message has a bare CR or LF")
