"""The API's own settings."""

from __future__ import annotations

import ipaddress

from pydantic import Field, field_validator, model_validator

from shared.config import CommonSettings

PORT = 8080


class AdminSettings(CommonSettings):
    """Common settings and those of `python -m services.admin`."""

    admin_listen: list[str] = Field(
        [],
        description="Addresses of the API (JSON list; port 8080 and the base); empty: the loopback ones of "
        "`PACKETBOAT_LISTEN`, else 127.0.0.1. Others need TLS.",
    )
    admin_tls: bool = Field(False, description="Speak HTTPS, with the certificate that the other services have.")
    admin_request_bytes: int = Field(1024 * 1024, ge=1024, description="Largest request body, octets.")
    admin_metrics_interval: float = Field(
        5.0, gt=0, description="Seconds between two looks at queues, volume and certificate for the metrics."
    )

    @field_validator("admin_listen")
    @classmethod
    def _admin_addresses(cls, value: list[str]) -> list[str]:
        for address in value:
            ipaddress.ip_address(address)
        return value

    @model_validator(mode="after")
    def _tokens_only_over_tls(self) -> AdminSettings:
        if not self.admin_tls and not all(ipaddress.ip_address(a).is_loopback for a in self.admin_listen):
            raise ValueError("admin_listen has an address that isn't loopback: set PACKETBOAT_ADMIN_TLS=true")
        return self

    @property
    def addresses(self) -> list[str]:
        """Where the API listens."""
        return self.admin_listen or self.loopback

    @property
    def port(self) -> int:
        """The API's port."""
        return PORT + self.port_base
