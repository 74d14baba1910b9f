"""Password hashes: argon2id for ours; bcrypt, SHA512-CRYPT and argon2 of other servers are verified.

What is stored is a crypt string, and behind it the SCRAM verifiers of the password, with spaces in between.
"""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Iterable
from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from shared.errors import ConfigurationError
from shared.sasl.scram import Algorithm, Verifier, make_verifier, parse_verifier

MAX_PASSWORD = 1024  # octets; longer ones are refused before they are hashed
NEW_PASSWORD = 16  # characters of one that is made here
NO_SCRAM = "-"  # instead of verifiers, for a password that SASLprep prohibits
_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)  # OWASP's argon2id setting

# {SCHEME} prefixes that Dovecot writes before the crypt string
_READABLE = string.ascii_letters + string.digits
_PREFIX = re.compile(r"^\{(?:ARGON2I|ARGON2ID|BLF-CRYPT|SHA512-CRYPT|CRYPT)\}", re.IGNORECASE)


def hash_password(password: str, salt: bytes = b"", algorithms: Iterable[Algorithm] = (Algorithm.SHA_256,)) -> str:
    """Return an argon2id hash, and with a salt SCRAM verifiers; takes some 50 ms and 19 MiB."""
    if not password or len(password.encode()) > MAX_PASSWORD:
        raise ConfigurationError(f"a password has 1 to {MAX_PASSWORD} octets")
    return " ".join([_HASHER.hash(password), *_verifiers(password, salt, algorithms)])


def new_password() -> str:
    """Return a password of 95 random bits in letters and digits: it has to get through shells and options."""
    return "".join(secrets.choice(_READABLE) for _ in range(NEW_PASSWORD))


def _verifiers(password: str, salt: bytes, algorithms: Iterable[Algorithm]) -> list[str]:
    if not salt:
        return []
    try:
        return [str(make_verifier(algorithm, password, salt)) for algorithm in algorithms]
    except ValueError:
        return [NO_SCRAM]


def verifiers_of(stored: str) -> list[Verifier]:
    """Return the SCRAM verifiers in what is stored."""
    return [verifier for part in stored.split()[1:] if (verifier := parse_verifier(part)) is not None]


def verify_password(stored: str, password: str) -> bool:
    """Compare in constant time; blocks, so call it in a thread."""
    if len(password.encode("utf-8", "surrogatepass")) > MAX_PASSWORD:
        return False
    stored = stored.partition(" ")[0]
    if stored.startswith("$argon2"):
        try:
            return _HASHER.verify(stored, password)
        except (VerificationError, InvalidHashError, UnicodeError):
            return False
    return _verify_foreign(stored, password)


def needs_upgrade(stored: str, algorithms: Iterable[Algorithm] = ()) -> bool:
    """Whether the next successful login should store our own hash, with SCRAM verifiers of these algorithms."""
    crypt, *others = stored.split(" ")
    if not crypt.startswith("$argon2id$") or _HASHER.check_needs_rehash(crypt):
        return True
    return NO_SCRAM not in others and not {one.algorithm for one in verifiers_of(stored)}.issuperset(algorithms)


def import_hash(text: str) -> str:
    """Return another server's hash without its {SCHEME}; ConfigurationError if it is of no known kind."""
    stored = _PREFIX.sub("", text.strip())
    if re.match(r"\$argon2(id|i|d)\$|\$2[abxy]\$\d\d\$|\$6\$", stored):
        return stored
    raise ConfigurationError("unknown password hash: use bcrypt ($2b$…), SHA512-CRYPT ($6$…) or argon2 ($argon2id$…)")


@lru_cache(maxsize=1)
def decoy() -> str:
    """A hash that nothing matches, verified for unknown users so that they take as long."""
    return _HASHER.hash("\0decoy")


def _verify_foreign(stored: str, password: str) -> bool:
    # imported when needed: most installations have no foreign hash, and it costs memory
    from passlib.hash import bcrypt, sha512_crypt

    scheme = sha512_crypt if stored.startswith("$6$") else bcrypt
    try:
        return bool(scheme.verify(password, stored))
    except (ValueError, TypeError):
        return False
