"""The subaddress extension: the user and the detail of a local part (RFC 5233)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.sieve.declare import ADDRESS_PART, Extension, Tag

if TYPE_CHECKING:
    from shared.sieve.message import MailAddress


def part_of(address: MailAddress, part: str, separator: str) -> str | None:
    """A part of an address; None when it has none such, which no key equals (without a domain it is no address)."""
    if address.domain is None and part != "all":
        return None
    match part:
        case "all":
            return address.whole
        case "localpart":
            return address.local
        case "domain":
            return address.domain
        case _:
            return _split(address.local, part, separator)


def _split(local: str, part: str, separator: str) -> str | None:
    user, found, detail = local.partition(separator) if separator else (local, "", "")
    if part == "user":
        return user
    return detail if found else None


EXTENSION = Extension(
    "subaddress",
    tags={
        ADDRESS_PART: tuple(Tag(name, group=ADDRESS_PART, extensions=("subaddress",)) for name in ("user", "detail"))
    },
)
