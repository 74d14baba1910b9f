"""What goes wrong between a message and the volume; every one of these is temporary for the client."""

from __future__ import annotations

from shared.errors import TemporaryFailure


class JournalFull(TemporaryFailure):
    """The volume is below its reserve or has no room for a new file; nothing was written (RFC 3463 X.3.1)."""

    default_code = 452
    default_status = "4.3.1"


class JournalFailed(TemporaryFailure):
    """The volume failed while the message was written: it isn't known to be durable, so it isn't accepted."""


class RecordUnavailable(TemporaryFailure):
    """A record that a reference names can't be read now: look the reference up again, defer, never bounce.

    `detail` is for the log; the text may reach a client and names no file.
    """

    def __init__(self, detail: str) -> None:
        super().__init__("the message can't be read at the moment")
        self.detail = detail
