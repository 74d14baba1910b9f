"""A scanner that can't be asked."""

from __future__ import annotations

from shared.errors import PacketboatError


class ScanFailed(PacketboatError):
    """A scanner is away, late, or says what makes no sense: its policy decides."""


class NotScanned(PacketboatError):
    """A scanner does not take this message, such as one that is too long: no failure of the scanner."""
