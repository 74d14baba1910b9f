"""The access service's own settings, beside those that every service has."""

from __future__ import annotations

from pydantic import Field

from services.access.limits import Limits
from shared.config import CommonSettings

_DEFAULT = Limits()


class AccessSettings(CommonSettings):
    """What the access service is told."""

    access_max_message_size: int = Field(
        _DEFAULT.message_size, ge=64 * 1024, description="Largest message that APPEND takes, octets."
    )
    access_max_connections: int = Field(
        _DEFAULT.connections, ge=1, description="Open connections of one worker process in all."
    )
    access_max_connections_per_ip: int = Field(
        _DEFAULT.connections_per_ip,
        ge=1,
        description="Open connections of one worker process from one address (an IPv6 /64 counts as one).",
    )
    access_login_time: float = Field(_DEFAULT.login_time, gt=0, description="Seconds that a client has to log in.")
    access_idle_time: float = Field(
        _DEFAULT.idle_time,
        gt=0,
        description="Seconds that a logged-in client may be silent (RFC 3501: at least 1,800).",
    )
    access_stalled_time: float = Field(
        _DEFAULT.stalled_time, gt=0, description="Seconds that a client may not read what it asked for."
    )
    access_pop3_login_delay: int = Field(
        _DEFAULT.pop3_login_delay, ge=0, description="Seconds between two logins of an account by POP3 (RFC 2449 §6.5)."
    )
    access_max_errors: int = Field(
        _DEFAULT.errors, ge=1, description="Commands in a row that can't be understood before the session ends."
    )
    access_max_failed_logins: int = Field(
        _DEFAULT.failed_logins, ge=1, description="Failed logins of one connection before it ends."
    )

    access_ascii_headers: bool = Field(
        _DEFAULT.ascii_headers,
        description="Whether APPEND refuses a header that isn't ASCII until its client has enabled UTF8=ACCEPT, as "
        "RFC 6855 demands; off, since clients that move old mail here would fail.",
    )
    access_unauthenticate: bool = Field(
        _DEFAULT.unauthenticate,
        description="Whether UNAUTHENTICATE is offered, by which one connection can log in several times.",
    )

    @property
    def limits(self) -> Limits:
        """The limits that sessions are given."""
        return Limits(
            message_size=self.access_max_message_size,
            connections=self.access_max_connections,
            connections_per_ip=self.access_max_connections_per_ip,
            login_time=self.access_login_time,
            idle_time=self.access_idle_time,
            stalled_time=self.access_stalled_time,
            pop3_login_delay=self.access_pop3_login_delay,
            errors=self.access_max_errors,
            failed_logins=self.access_max_failed_logins,
            ascii_headers=self.access_ascii_headers,
            unauthenticate=self.access_unauthenticate,
        )
