"""SCRAM salts: the same for all passwords of a name, and for names that aren't there (RFC 5802 §9)."""

from __future__ import annotations

import hmac

from shared.db import Work, load
from shared.sasl.scram import SALT_OCTETS

NAME = "salts"  # of the secret

sql = load("directory")


def secret(fresh: bytes) -> Work[bytes]:
    """Return the installation's secret, keeping `fresh` as that if there is none."""
    yield sql.insert_secret(name=NAME, value=fresh.hex())
    rows = yield sql.secret(name=NAME)
    return bytes.fromhex(rows[0]["value"])


def salt_of(secret: bytes, name: str) -> bytes:
    """Return the salt of a login name."""
    return hmac.digest(secret, name.lower().encode("utf-8", "surrogatepass"), "sha256")[:SALT_OCTETS]
