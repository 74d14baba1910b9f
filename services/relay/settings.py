"""What the relay is told: PACKETBOAT_RELAY_…"""

from __future__ import annotations

import ipaddress
from enum import StrEnum

from pydantic import Field, SecretStr, field_validator

from services.relay.transport import parse_transport
from shared.config import CommonSettings
from shared.errors import PacketboatError


class SmarthostTls(StrEnum):
    """What TLS with the smarthost must be like."""

    VERIFY = "verify"
    REQUIRED = "required"  # any certificate
    OPPORTUNISTIC = "opportunistic"
    NEVER = "never"


class RelaySettings(CommonSettings):
    """The relay's settings; times are seconds."""

    relay_port: int = Field(25, ge=1, le=65535, description="Port of other servers that mail is sent to.")
    relay_concurrency: int = Field(
        20, ge=1, le=1000, description="Connections at once to one site, of all relay replicas together."
    )
    relay_connections: int = Field(
        100, ge=1, le=10_000, description="Connections at once of one worker process, all sites."
    )
    relay_recipients: int = Field(50, ge=1, le=1000, description="Recipients in one transaction.")
    relay_reuse: int = Field(1000, ge=1, description="Messages sent over one connection before a new one is made.")
    relay_retry_first: float = Field(60.0, gt=0, description="Seconds to the second attempt; doubled each time …")
    relay_retry_most: float = Field(4 * 3600.0, gt=0, description="… up to so many seconds.")
    relay_expiry: float = Field(
        5 * 86400.0, gt=0, description="Seconds after acceptance at which a message that can't be sent is returned."
    )
    relay_delay_warning: float = Field(
        4 * 3600.0, ge=0, description="Seconds after acceptance at which the sender is told of a delay; 0: never."
    )
    relay_bounce_expiry: float = Field(
        86400.0, gt=0, description="The expiry of notifications (from the null sender), seconds."
    )
    relay_allow_private: list[str] = Field(
        [],
        description="Networks (CIDR, JSON list) among the private, loopback and other non-public ones "
        "that mail may be sent to.",
    )
    relay_own_names: list[str] = Field(
        [], description="Further host names (JSON list) by which MX records may mean ourselves."
    )
    relay_transport: dict[str, str] = Field(
        {},
        description='Next hops by domain (JSON object): `{"example.org": "[10.0.0.5]:2525", ".example.net": '
        '"mx.example.com"}`. A name in brackets is a host, without it is looked up by MX; `lmtp:` before '
        "it speaks LMTP, `smtps:` TLS from the start; a key that begins with a dot means all subdomains.",
    )
    relay_smarthost: str = Field(
        "", description="Next hop for all other domains, in the same form: `[smtp.example.com]:587`; empty: none."
    )
    relay_smarthost_user: str = Field("", description="Login name at the smarthost; empty: no AUTH.")
    relay_smarthost_password: SecretStr = Field(SecretStr(""), description="Password at the smarthost.")
    relay_smarthost_tls: SmarthostTls = Field(
        SmarthostTls.VERIFY,
        description="TLS with the smarthost: verify (its certificate too), required, opportunistic or never "
        "(then a password goes in plain text: only on the same machine).",
    )
    relay_tls: bool = Field(True, description="Use STARTTLS where it is offered (any certificate will do).")
    relay_connect_timeout: float = Field(30.0, gt=0, description="Seconds to connect to one address.")
    relay_greeting_timeout: float = Field(300.0, gt=0, description="Seconds to wait for the greeting and EHLO's reply.")
    relay_command_timeout: float = Field(300.0, gt=0, description="Seconds to wait for the reply to MAIL or RCPT.")
    relay_data_timeout: float = Field(
        180.0, gt=0, description="Seconds to wait for DATA's reply or until a piece of the message is taken."
    )
    relay_end_timeout: float = Field(600.0, gt=0, description="Seconds to wait for the reply to the message.")

    @field_validator("relay_allow_private")
    @classmethod
    def _networks(cls, value: list[str]) -> list[str]:
        for network in value:
            ipaddress.ip_network(network)
        return value

    @field_validator("relay_transport")
    @classmethod
    def _transports(cls, value: dict[str, str]) -> dict[str, str]:
        return {domain.lower(): _checked(hop) for domain, hop in value.items()}

    @field_validator("relay_smarthost")
    @classmethod
    def _smarthost(cls, value: str) -> str:
        return _checked(value) if value else value


def _checked(hop: str) -> str:
    try:
        parse_transport(hop, 25)
    except PacketboatError as error:
        raise ValueError(str(error)) from None
    return hop
