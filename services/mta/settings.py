"""The mta's own settings, beside those that every service has."""

from __future__ import annotations

from pydantic import Field

from services.mta.limits import Limits
from shared.config import CommonSettings

_DEFAULT = Limits()


class MtaSettings(CommonSettings):
    """What the mta is told."""

    mta_max_message_size: int = Field(
        _DEFAULT.message_size, ge=64 * 1024, description="Largest message that is accepted, octets."
    )
    mta_max_recipients: int = Field(_DEFAULT.recipients, ge=100, le=10_000, description="Recipients of one message.")
    mta_max_connections: int = Field(
        _DEFAULT.connections, ge=1, description="Open connections of one worker process in all."
    )
    mta_max_connections_per_ip: int = Field(
        _DEFAULT.connections_per_ip,
        ge=1,
        description="Open connections of one worker process from one address (an IPv6 /64 counts as one).",
    )
    mta_max_commands: int = Field(
        _DEFAULT.commands, ge=100, description="Commands of one connection between two accepted messages."
    )
    mta_max_errors: int = Field(
        _DEFAULT.errors, ge=1, description="Refused commands of one connection between two accepted messages."
    )
    mta_command_time: float = Field(
        _DEFAULT.command_time, gt=0, description="Seconds that a client may be silent (RFC 5321: 300)."
    )
    mta_message_time: float = Field(
        _DEFAULT.message_time, gt=0, description="Seconds from DATA to the end of a message's text."
    )
    mta_messages_per_hour: int = Field(
        _DEFAULT.messages_per_hour, ge=1, description="Messages that one account may submit in an hour."
    )

    @property
    def limits(self) -> Limits:
        """The limits that sessions are given."""
        return Limits(
            message_size=self.mta_max_message_size,
            recipients=self.mta_max_recipients,
            connections=self.mta_max_connections,
            connections_per_ip=self.mta_max_connections_per_ip,
            commands=self.mta_max_commands,
            errors=self.mta_max_errors,
            command_time=self.mta_command_time,
            message_time=self.mta_message_time,
            messages_per_hour=self.mta_messages_per_hour,
        )
