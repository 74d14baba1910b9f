"""What a benchmark needs of a mail server, ours or a peer."""

from __future__ import annotations

from typing import Protocol

Endpoint = tuple[str, int]


class Server(Protocol):
    """A mail server that can be started and stopped many times on the same data."""

    @property
    def name(self) -> str:
        """Which server and configuration, for the report."""

    @property
    def smtp(self) -> Endpoint:
        """Takes mail for the accounts."""

    @property
    def submission(self) -> Endpoint:
        """Takes mail for anybody, from loopback, without a login."""

    @property
    def imap(self) -> Endpoint:
        """IMAP without TLS."""

    @property
    def imaps(self) -> Endpoint:
        """IMAP with TLS."""

    @property
    def pop3(self) -> Endpoint:
        """POP3 without TLS."""

    def reset(self) -> None:
        """Forget all mail; only while stopped."""

    def start(self) -> None:
        """Start and wait until connections are served."""

    def stop(self) -> None:
        """Stop cleanly; nothing happens if it isn't running."""

    def kill(self) -> None:
        """SIGKILL to every process."""

    def roots(self) -> list[int]:
        """Processes from which all of its processes descend."""
