"""Who asks, what they may see, and how a request fails."""

from __future__ import annotations

from dataclasses import dataclass

from shared.errors import ConfigurationError


class NotFound(ConfigurationError):
    """There is no such thing, or it is somebody else's."""


class AlreadyThere(ConfigurationError):
    """It exists, or what exists is in the way."""


class Changed(ConfigurationError):
    """It isn't any more what the caller saw (RFC 9110 §13.1.1)."""


class Reused(ConfigurationError):
    """An idempotency key came with another request before."""


class Away(ConfigurationError):
    """Redis or the volume is needed for this and can't be reached now."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who was let in; `domains` is None for all, else what a domain administrator has."""

    name: str  # as the audit log has it
    domains: frozenset[str] | None = None

    def owns(self, domain: str) -> bool:
        """Whether a domain's things are theirs."""
        return self.domains is None or domain in self.domains

    def check(self, domain: str, what: str) -> None:
        """NotFound for another domain's things: that they exist is nobody else's business."""
        if not self.owns(domain):
            raise NotFound(f"there is no {what}")

    def sees(self, *addresses: str) -> bool:
        """Whether mail with these addresses is theirs to see."""
        return self.domains is None or any(domain_of(address) in self.domains for address in addresses)


def domain_of(address: str) -> str:
    """Return the domain of an address in lower case, "" if there is none."""
    return address.rpartition("@")[2].lower() if "@" in address else ""
