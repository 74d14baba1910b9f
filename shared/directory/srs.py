"""The sender rewriting scheme: reverse-paths of mail that is sent on, so that SPF holds and bounces come back.

    SRS0=<hash>=<day>=<domain>=<local>@ours       the first time
    SRS1=<hash>=<first forwarder>=<rest>@ours     for a path that was rewritten elsewhere before
    SRS0=<hash>=<day>=<token>.stored=@ours        for a sender whose address is too long: SQL knows it by the token

The hash (30 bits of an HMAC) keeps others from using us as a relay; the day ends what a path is good for.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from base64 import b32encode
from collections.abc import Sequence

from shared.address import MAX_LOCAL, Address, AddressError, normalise_domain, parse_address
from shared.db import Work, load

VALID_DAYS = 21
HASH_LENGTH = 6  # characters of base32
TOKEN_LENGTH = 26  # characters of base32: 130 bits of a hash of the address
STORED = ".stored"  # in the place of a domain that there can't be
DAYS = 1024  # two characters of base32
DAY = 86_400  # seconds

_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_REWRITTEN = re.compile(r"SRS([01])[=+-](.*)\Z", re.IGNORECASE | re.DOTALL)

sql = load("scripts")


def is_rewritten(address: Address) -> bool:
    """Whether an address looks as if it had been rewritten, here or elsewhere."""
    return _REWRITTEN.match(address.local) is not None


def rewrite(sender: Address, domain: str, key: bytes, now: float) -> Address | None:
    """Return a reverse-path in our `domain` that leads back to `sender`; None if it would be too long."""
    known = _REWRITTEN.match(sender.local)
    if known is None:
        body = f"{_day(now)}={sender.domain}={sender.local}"
        local = f"SRS0={_hash(key, body)}={body}"
    else:
        body = f"{sender.domain}={sender.local[4:]}" if known[1] == "0" else _second(known[2])
        local = f"SRS1={_hash(key, body)}={body}"
    return Address(local, domain) if body and len(local.encode()) <= MAX_LOCAL else None


def restore(address: Address, keys: Sequence[bytes], now: float) -> Address | None:
    """Return where a rewritten reverse-path leads; None if we didn't write it, or too long ago."""
    known = _REWRITTEN.match(address.local)
    if known is None:
        return None
    signature, _, body = known[2].partition("=")
    if not any(hmac.compare_digest(signature.lower().encode(), _hash(key, body).encode()) for key in keys):
        return None
    return _first_path(body, now) if known[1] == "0" else _second_path(body)


def returning(address: Address) -> Work[Address | None]:
    """Restore an address with the keys, and the long addresses, that SQL has."""
    rows = yield sql.srs_keys()
    origin = restore(address, [bytes.fromhex(row["key"]) for row in rows], time.time())
    if origin is None or not origin.domain.endswith(STORED):
        return origin
    stored = yield sql.srs_sender(token=origin.domain.removesuffix(STORED))
    return parse_address(stored[0]["address"]) if stored else None


def token_of(sender: Address) -> str:
    """Return what stands for an address that is too long."""
    return b32encode(hashlib.sha256(str(sender).encode()).digest()).decode().lower()[:TOKEN_LENGTH]


def rewrite_stored(token: str, domain: str, key: bytes, now: float) -> Address:
    """Return a reverse-path that leads to a stored sender."""
    body = f"{_day(now)}={token}{STORED}="
    return Address(f"SRS0={_hash(key, body)}={body}", domain)


def keep(token: str, sender: str, now: int) -> Work[None]:
    """Store a sender, or note that it is still in use; `now` in microseconds."""
    yield sql.keep_srs_sender(token=token, address=sender, now=now)


def newest_key(fresh: bytes, now: int) -> Work[bytes]:
    """Return the key that signs, keeping `fresh` as the first one if there is none; `now` in microseconds."""
    rows = yield sql.srs_keys()
    if not rows:
        yield sql.insert_srs_key(key=fresh.hex(), now=now)
        rows = yield sql.srs_keys()
    return bytes.fromhex(rows[0]["key"])


def _first_path(body: str, now: float) -> Address | None:
    day, _, rest = body.partition("=")
    domain, _, local = rest.partition("=")
    written = _number(day)
    if written is None or (int(now // DAY) - written + 1) % DAYS > VALID_DAYS + 1:  # one's clock may be behind
        return None
    return Address("", domain.lower()) if domain.lower().endswith(STORED) and not local else _address(local, domain)


def _second_path(body: str) -> Address | None:
    domain, _, rest = body.partition("=")
    return _address(f"SRS0{rest}", domain)


def _second(body: str) -> str:
    """The part of another forwarder's SRS1 path that stays: the first forwarder and its own rest."""
    return body.partition("=")[2]


def _address(local: str, domain: str) -> Address | None:
    try:
        return Address(local, normalise_domain(domain)) if local and domain else None
    except AddressError:
        return None


def _hash(key: bytes, body: str) -> str:
    """Whatever comes between may change the case of letters."""
    digest = hmac.new(key, body.lower().encode(), hashlib.sha256).digest()
    return b32encode(digest).decode().lower()[:HASH_LENGTH]


def _day(now: float) -> str:
    number = int(now // DAY) % DAYS
    return _BASE32[number >> 5] + _BASE32[number & 31]


def _number(day: str) -> int | None:
    places = [_BASE32.find(character) for character in day.lower()]
    return places[0] << 5 | places[1] if len(places) == 2 and min(places) >= 0 else None
