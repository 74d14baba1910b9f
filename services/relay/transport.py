"""Next hops that the operator has set, for one domain or for all (a smarthost)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from shared.errors import ConfigurationError

SUBMISSIONS_PORT = 465  # TLS from the start, RFC 8314

_HOP = re.compile(
    r"(?:(?P<scheme>smtp|smtps|lmtp):)?(?:\[(?P<host>[A-Za-z0-9.:_\-]+)\]|(?P<domain>[A-Za-z0-9._\-]+))(?::(?P<port>\d{1,5}))?\Z"
)


class Scheme(StrEnum):
    """What is spoken with a next hop."""

    SMTP = "smtp"
    SMTPS = "smtps"
    LMTP = "lmtp"


@dataclass(frozen=True, slots=True)
class Transport:
    """A next hop: a host, or a domain whose MX records are looked up."""

    name: str
    is_host: bool
    port: int
    scheme: Scheme = Scheme.SMTP

    def __str__(self) -> str:
        name = f"[{self.name}]" if self.is_host else self.name
        return f"{self.scheme}:{name}:{self.port}"


def parse_transport(text: str, port: int) -> Transport:
    """Read `[scheme:]host-or-domain[:port]`; `port` is the default; ConfigurationError if it is malformed."""
    match = _HOP.match(text)
    if match is None or not 0 < int(match["port"] or port) < 65536:
        raise ConfigurationError(f"next hop {text!r}: use DOMAIN, [HOST] or [HOST]:PORT")
    chosen = int(match["port"] or port)
    scheme = Scheme(match["scheme"] or (Scheme.SMTPS if chosen == SUBMISSIONS_PORT else Scheme.SMTP))
    return Transport((match["host"] or match["domain"]).lower(), bool(match["host"]), chosen, scheme)


def find_transport(transports: Mapping[str, Transport], domain: str) -> Transport | None:
    """Return what is set for a domain: by its own name, or by the nearest `.parent`."""
    if domain in transports:
        return transports[domain]
    _, dot, rest = domain.partition(".")
    while dot:
        if "." + rest in transports:
            return transports["." + rest]
        _, dot, rest = rest.partition(".")
    return None
