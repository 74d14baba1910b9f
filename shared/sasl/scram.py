"""SCRAM, the server's side, with and without channel binding (RFC 5802, RFC 7677, RFC 5929).

The client proves that it knows a password which never crosses the network; the server keeps a Verifier, from
which the password can't be had. An account may have several passwords: all its verifiers have one salt and
iteration count, and the proof is tried against each.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
import secrets
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from shared.sasl.credentials import BadCredentials, decode_identity
from shared.sasl.mechanism import Challenge, Lookup, Proven, Reason, Refused, Step
from shared.sasl.saslprep import saslprep

ITERATIONS = 20_000  # of PBKDF2, for new verifiers
MAX_ITERATIONS = 10_000_000  # in a verifier that was stored
SALT_OCTETS = 16
NONCE_OCTETS = 18
MAX_NONCE = 512  # characters that a client may choose
MAX_VERIFIERS = 100  # passwords of one account that are tried

_FIRST = re.compile(
    rb"(?P<header>(?:n|y|p=(?P<binding>[A-Za-z0-9.-]+)),(?:a=(?P<authzid>[^,\0]*))?,)"
    rb"(?P<bare>n=(?P<name>[^,\0]+),r=(?P<nonce>[!-+\--~]+)(?:,[^\0]*)?)\Z",
    re.DOTALL,
)
_FINAL = re.compile(
    rb"(?P<text>c=(?P<channel>[A-Za-z0-9+/=]+),r=(?P<nonce>[!-+\--~]+)(?:,[^\0]*)?),p=(?P<proof>[A-Za-z0-9+/=]+)\Z",
    re.DOTALL,
)
_STORED = re.compile(r"(SCRAM-SHA-(?:1|256))\$(\d{1,8}):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)\Z")


class Algorithm(Enum):
    """A hash function, by the mechanism's name and hashlib's."""

    SHA_256 = ("SCRAM-SHA-256", "sha256")
    SHA_1 = ("SCRAM-SHA-1", "sha1")

    @property
    def mechanism(self) -> bytes:
        """The mechanism's name without `-PLUS`."""
        return self.value[0].encode("ascii")

    def hash(self, data: bytes) -> bytes:
        """H() of RFC 5802 §2.2."""
        return hashlib.new(self.value[1], data).digest()

    def hmac(self, key: bytes, data: bytes) -> bytes:
        """HMAC() of RFC 5802 §2.2."""
        return hmac.digest(key, data, self.value[1])


@dataclass(frozen=True, slots=True)
class Verifier:
    """What the server keeps of a password (RFC 5802 §3)."""

    algorithm: Algorithm
    iterations: int
    salt: bytes
    stored_key: bytes
    server_key: bytes

    def __str__(self) -> str:
        """The form in which it is stored (RFC 5803 §2)."""
        salt, stored, server = (b64encode(part).decode() for part in (self.salt, self.stored_key, self.server_key))
        return f"{self.algorithm.value[0]}${self.iterations}:{salt}${stored}:{server}"


def make_verifier(algorithm: Algorithm, password: str, salt: bytes, iterations: int = ITERATIONS) -> Verifier:
    """Return what to keep of a password: takes some 10 ms. ValueError for one that SASLprep prohibits."""
    octets = saslprep(password).encode("utf-8")
    salted = hashlib.pbkdf2_hmac(algorithm.value[1], octets, salt, iterations)
    stored_key = algorithm.hash(algorithm.hmac(salted, b"Client Key"))
    return Verifier(algorithm, iterations, salt, stored_key, algorithm.hmac(salted, b"Server Key"))


def parse_verifier(text: str) -> Verifier | None:
    """Read a stored verifier; None for anything else."""
    found = _STORED.match(text)
    if found is None or not 0 < int(found[2]) <= MAX_ITERATIONS:
        return None
    algorithm = next(one for one in Algorithm if one.value[0] == found[1])
    try:
        salt, stored, server = (b64decode(part, validate=True) for part in found.groups()[2:])
    except (binascii.Error, ValueError):
        return None
    return Verifier(algorithm, int(found[2]), salt, stored, server)


def decoy(algorithm: Algorithm, salt: bytes) -> Verifier:
    """Return a verifier that no password has, for names that aren't there."""
    size = len(algorithm.hash(b""))
    return Verifier(algorithm, ITERATIONS, salt, secrets.token_bytes(size), secrets.token_bytes(size))


class Scram:
    """One exchange: the name, a look-up by the caller, the proof, and our own proof."""

    def __init__(
        self,
        algorithm: Algorithm,
        bindings: Mapping[str, bytes],
        *,
        plus: bool,
        nonce: Callable[[], str] = lambda: secrets.token_urlsafe(NONCE_OCTETS),
    ) -> None:
        """Take the connection's channel bindings by type (RFC 5929), empty where there are none."""
        self._algorithm = algorithm
        self._bindings = bindings
        self._plus = plus
        self._own_nonce = nonce()
        self._identity = ""
        self._channel = b""  # what `c` has to be
        self._first = b""
        self._nonce = b""
        self._challenge = b""
        self._verifiers: Sequence[tuple[int, Verifier]] | None = None
        self._proven: Proven | None = None

    def start(self, initial: bytes | None) -> Step:
        """Take the client's first message, or ask for it."""
        return Challenge(b"") if initial is None else self.respond(initial)

    def respond(self, response: bytes) -> Step:
        """Take the client's next message."""
        if not self._first:
            return self._take_first(response)
        if self._proven is not None:
            return self._proven if not response else Refused(Reason.MALFORMED)
        if self._verifiers is None:
            raise RuntimeError("the verifiers have not been provided")
        return self._take_final(response)

    def provide(self, verifiers: Iterable[tuple[int, Verifier]]) -> Step:
        """Take the verifiers of the identity's credentials, at least one (a `decoy`); challenge the client."""
        first, *others = (pair for pair in verifiers if pair[1].algorithm is self._algorithm)
        salt, iterations = first[1].salt, first[1].iterations
        alike = [pair for pair in others if (pair[1].salt, pair[1].iterations) == (salt, iterations)]
        self._verifiers = [first, *alike][:MAX_VERIFIERS]
        self._challenge = b"r=%b,s=%b,i=%d" % (self._nonce, b64encode(salt), iterations)
        return Challenge(self._challenge)

    def _take_first(self, message: bytes) -> Step:
        found = _FIRST.match(message)
        if found is None or len(found["nonce"]) > MAX_NONCE:
            return Refused(Reason.MALFORMED)
        channel = self._bound(found["header"], (found["binding"] or b"").decode("ascii"))
        if channel is None:
            return Refused(Reason.CHANNEL_BINDING)
        try:
            self._identity = decode_identity(_unescape(found["name"]))
            acting_for = _unescape(found["authzid"] or b"")
        except (BadCredentials, ValueError):
            return Refused(Reason.MALFORMED)
        if acting_for and acting_for.lower() != _unescape(found["name"]).lower():
            return Refused(Reason.WRONG_AUTHZID)
        self._channel = b64encode(channel)
        self._first = found["bare"]
        self._nonce = found["nonce"] + self._own_nonce.encode("ascii")
        return Lookup(self._identity, self._algorithm.value[0])

    def _bound(self, header: bytes, binding: str) -> bytes | None:
        """Return what both sides have to agree upon; None when the binding is wrong (RFC 5802 §6)."""
        if self._plus:
            return header + self._bindings[binding] if binding in self._bindings else None
        if binding or (header.startswith(b"y") and self._bindings):
            return None  # somebody in between has removed our -PLUS
        return header

    def _take_final(self, message: bytes) -> Step:
        found = _FINAL.match(message)
        if found is None or found["nonce"] != self._nonce:
            return Refused(Reason.MALFORMED)
        if not hmac.compare_digest(found["channel"], self._channel):
            return Refused(Reason.CHANNEL_BINDING)
        signed = b",".join((self._first, self._challenge, found["text"]))
        try:
            proof = b64decode(found["proof"], validate=True)
        except binascii.Error:
            return Refused(Reason.MALFORMED)
        for credential, verifier in self._verifiers or ():
            if _proves(verifier, proof, signed):
                self._proven = Proven(self._identity, credential)
                return Challenge(b"v=" + b64encode(self._algorithm.hmac(verifier.server_key, signed)), is_last=True)
        return Refused(Reason.WRONG_PROOF, self._identity)


def _proves(verifier: Verifier, proof: bytes, signed: bytes) -> bool:
    signature = verifier.algorithm.hmac(verifier.stored_key, signed)
    if len(proof) != len(signature):
        return False
    client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
    return hmac.compare_digest(verifier.algorithm.hash(client_key), verifier.stored_key)


def _unescape(name: bytes) -> bytes:
    """Undo `=2C` and `=3D`; ValueError for another `=` (RFC 5802 §5.1)."""
    if re.search(rb"=(?!2C|3D)", name):
        raise ValueError("a bare = in a name")
    return name.replace(b"=2C", b",").replace(b"=3D", b"=")
