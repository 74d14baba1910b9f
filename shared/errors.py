"""The failures that cross module borders, carrying the reply that a client is to see."""

from __future__ import annotations


class PacketboatError(Exception):
    """Base of every error that this project raises on purpose."""


class ConfigurationError(PacketboatError):
    """A person's mistake in a setting or on the command line: one line that says what to do."""


class MailFailure(PacketboatError):
    """A refusal with an SMTP reply code and enhanced status (RFC 5321 §4.2, RFC 3463)."""

    default_code = 451
    default_status = "4.3.0"

    def __init__(self, text: str, *, code: int | None = None, status: str | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.code = code or self.default_code
        self.status = status or self.default_status

    def __str__(self) -> str:
        return f"{self.code} {self.status} {self.text}"


class TemporaryFailure(MailFailure):
    """It may work later: 4xx, never a reason to bounce before the message expires."""


class PermanentFailure(MailFailure):
    """It will never work: 5xx."""

    default_code = 550
    default_status = "5.0.0"


def in_our_words(message: str) -> str:
    """Return what pydantic says of a setting as it is told to who made it."""
    return message.removeprefix("Value error, ").replace("Input should", "it should", 1)
