"""Values of the directory."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from shared.address import Address


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain that is ours; `alias_of` names the one whose local parts it shares."""

    id: int
    name: str
    catchall: str
    postmaster: str
    alias_of: str

    @classmethod
    def from_row(cls, row: Any) -> Domain:
        """Read a row of the query `domain_by_name`."""
        return cls(row["id"], row["name"], row["catchall"], row["postmaster"], row["alias_of"] or "")


@dataclass(frozen=True, slots=True)
class Account:
    """A user with mailboxes; sizes are octets, a quota of 0 is none."""

    id: int
    address: str
    enabled: bool
    quota_bytes: int
    used_bytes: int
    used_messages: int
    quota_messages: int = 0

    @classmethod
    def from_row(cls, row: Any, id_column: str = "id") -> Account:
        """Read a row that has the account's columns."""
        return cls(
            row[id_column],
            row["address"],
            bool(row["enabled"]),
            row["quota_bytes"],
            row["used_bytes"],
            row["used_messages"],
            row["quota_messages"],
        )

    @property
    def domain(self) -> str:
        """The domain part of its address."""
        return self.address.rpartition("@")[2]

    @property
    def is_full(self) -> bool:
        """Whether one of its quotas is used up."""
        return 0 < self.quota_bytes <= self.used_bytes or 0 < self.quota_messages <= self.used_messages


class Verdict(Enum):
    """What a RCPT of this address deserves."""

    LOCAL = "local"
    NOT_LOCAL = "not local"
    UNKNOWN = "unknown"
    DISABLED = "disabled"
    OVER_QUOTA = "over quota"


@dataclass(frozen=True, slots=True)
class Expansion:
    """Where an address leads in the end."""

    accounts: tuple[Account, ...] = ()
    forwards: tuple[Address, ...] = ()  # addresses that aren't ours
    unknown: tuple[Address, ...] = ()  # ours, but nobody's
    cut: bool = False  # a limit or a loop left something out
