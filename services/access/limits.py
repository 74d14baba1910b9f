"""The named limits of an access worker."""

from __future__ import annotations

from dataclasses import dataclass

OUTPUT_HIGH = 256 * 1024  # octets waiting for a client beyond which nothing more is made for it
OUTPUT_LOW = 64 * 1024
INPUT_HIGH = 64 * 1024  # octets of commands waiting for their turn beyond which no more are read
FAIR_SHARE = 8  # commands of one client before the others have their turn
CLOSING_TIME = 5.0  # seconds that a closed connection has for its last octets
TLS_TIME = 30.0  # seconds for a STARTTLS handshake


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in octets, times in seconds; connections are those of one worker process."""

    message_size: int = 50 * 1024 * 1024
    connections: int = 10_000
    connections_per_ip: int = 1_000
    login_time: float = 60.0  # from the connection to the login
    idle_time: float = 1_800.0  # that a client may be silent (RFC 3501 §5.4: at least 30 minutes)
    stalled_time: float = 300.0  # that a client may not read what it asked for
    pop3_login_delay: int = 0  # seconds between two logins of an account by POP3
    errors: int = 50  # commands in a row that can't be understood
    failed_logins: int = 5  # of one connection
    ascii_headers: bool = False  # APPEND refuses other headers until UTF8=ACCEPT is enabled (RFC 6855 §4)
    unauthenticate: bool = True  # UNAUTHENTICATE is offered (RFC 8437 §8 wants a way to forbid it)
