"""The text of a message as DATA carries it, in pieces of any size (RFC 5321 §4.5.2).

Only CRLF "." CRLF ends it, whatever bare CR or LF may look like: what one server takes for the end and the
next does not is how a second message is smuggled inside the first.
"""

from __future__ import annotations

TERMINATOR = b"\r\n.\r\n"
_STUFFED = b"\r\n."
_PREFIXES = tuple(TERMINATOR[:length] for length in range(len(TERMINATOR) - 1, 0, -1))


class DataText:
    """What follows 354: `feed` until `done`; then `rest` is what the client sent after the message."""

    def __init__(self) -> None:
        self.done = False
        self.rest = b""
        self._held = b"\r\n"  # the line end before the text, for a dot or the end in the first line
        self._virtual = True

    @property
    def held(self) -> bytes:
        """The end of what was fed, if that may be the beginning of the text's end."""
        return self._held

    def feed(self, data: bytes) -> bytes:
        """Return the text that `data` completes, its dots unstuffed."""
        data = self._held + data
        end = data.find(TERMINATOR)
        if end >= 0:
            self.done = True
            self.rest = data[end + len(TERMINATOR) :]
            return self._unstuffed(data[: end + 2])
        held = next((prefix for prefix in _PREFIXES if data.endswith(prefix)), b"")
        self._held = held
        return self._unstuffed(data[: len(data) - len(held)])

    def _unstuffed(self, text: bytes) -> bytes:
        text = text.replace(_STUFFED, b"\r\n")
        if self._virtual and text:
            self._virtual = False
            return text[2:]
        return text
