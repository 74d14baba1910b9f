"""Mail addresses, parsed once at the edge (RFC 5321 §4.1.2, RFC 6531 for UTF-8)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import idna

from shared.errors import PacketboatError

MAX_LOCAL = 64  # octets, RFC 5321 §4.5.3.1.1
MAX_DOMAIN = 255  # octets, RFC 5321 §4.5.3.1.2
MAX_ADDRESS = 254  # octets: a path of 256 less its angle brackets, §4.5.3.1.3

# dot-string = atom *("." atom); atext of RFC 5322 and, for RFC 6531, everything beyond ASCII
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\U0010ffff]"
_DOT_STRING = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*\Z")
# quoted-string: qtext and quoted pairs of printable ASCII (RFC 5321 §4.1.2)
_QUOTED = re.compile(r'"(?:[\x20-\x21\x23-\x5b\x5d-\x7e\u0080-\U0010ffff]|\\[\x20-\x7e])*"\Z')
_PLAIN_DOMAIN = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?"
    r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?)*\Z"
)
_LITERAL = re.compile(r"\[(?:\d{1,3}(?:\.\d{1,3}){3}|IPv6:[0-9A-Fa-f:.]+)\]\Z")


class AddressError(PacketboatError):
    """A text that is not an address; the message says why."""


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox address: `local` as it was written (unquoted), `domain` in lower case A-labels."""

    local: str
    domain: str

    def __str__(self) -> str:
        local = self.local if _DOT_STRING.match(self.local) else _quote(self.local)
        return f"{local}@{self.domain}"

    @property
    def key(self) -> str:
        """What two spellings of one of our own addresses have in common: all lower case."""
        return str(self).lower()

    @property
    def is_ascii(self) -> bool:
        """Whether it can be sent without SMTPUTF8 (RFC 6531)."""
        return self.local.isascii()

    def without_tag(self, delimiter: str = "+") -> Address:
        """Return the address less its sub-address (RFC 5233): `user+tag` gives `user`."""
        base = self.local.partition(delimiter)[0]
        return Address(base, self.domain) if base else self


def parse_address(text: str) -> Address:
    """Parse `local@domain`; AddressError says what is wrong."""
    local, at, domain = text.rpartition("@")
    if not at or not local:
        raise AddressError(f"{text!r} has no local part or no domain")
    if len(local.encode("utf-8", "surrogatepass")) > MAX_LOCAL:
        raise AddressError(f"the local part is longer than {MAX_LOCAL} octets")
    if _DOT_STRING.match(local):
        return Address(local, normalise_domain(domain))
    if _QUOTED.match(local):
        return Address(re.sub(r"\\(.)", r"\1", local[1:-1]), normalise_domain(domain))
    raise AddressError(f"the local part of {text!r} is malformed")


@lru_cache(maxsize=4096)
def normalise_domain(domain: str) -> str:
    """Return a domain in lower case A-labels (RFC 5890) or an address literal as it is."""
    if _PLAIN_DOMAIN.match(domain):
        return domain.lower()
    if _LITERAL.match(domain):
        return domain
    if domain.isascii():
        raise AddressError(f"{domain!r} is not a domain name")
    try:
        encoded = idna.encode(domain, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as error:
        raise AddressError(f"{domain!r} is not a domain name: {error}") from None
    return normalise_domain(encoded)


def _quote(local: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", local) + '"'
