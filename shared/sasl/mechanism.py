"""The server's side of SASL mechanisms as state machines over decoded octets (RFC 4422 §5)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from shared.sasl.credentials import BadCredentials, Credentials, credentials


class Reason(Enum):
    """Why an exchange ended without credentials."""

    UNKNOWN_MECHANISM = "Unknown mechanism"
    MALFORMED = "Malformed response"
    TOO_LONG = "Response too long"
    CANCELLED = "Authentication cancelled"
    WRONG_AUTHZID = "Acting for somebody else is not supported"
    CHANNEL_BINDING = "The channel binding is wrong"
    WRONG_PROOF = "Wrong name or password"


@dataclass(frozen=True, slots=True)
class Challenge:
    """Send this to the client, decoded octets; its response comes next.

    `is_last`: the mechanism's last word, to which the response is empty. A protocol that has a place for it in the
    answer to a login sends it there, and goes on with an empty response of its own (RFC 4422 §3.6).
    """

    data: bytes
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """The exchange is over; whose wrong proof it was, where that is the reason."""

    reason: Reason
    identity: str = ""


@dataclass(frozen=True, slots=True)
class Lookup:
    """The mechanism wants the verifiers of a name: `Exchange.provide`."""

    identity: str
    algorithm: str  # SCRAM-SHA-256 | SCRAM-SHA-1


@dataclass(frozen=True, slots=True)
class Proven:
    """The client has proven that it knows the password of one of the identity's credentials."""

    identity: str
    credential: int


Step = Challenge | Credentials | Lookup | Proven | Refused


class Mechanism(Protocol):
    """One exchange; `initial` is None when the client gave no initial response."""

    def start(self, initial: bytes | None) -> Step: ...

    def respond(self, response: bytes) -> Step: ...


class Plain:
    """PLAIN: `[authzid] NUL authcid NUL passwd` (RFC 4616)."""

    def start(self, initial: bytes | None) -> Step:
        return Challenge(b"") if initial is None else self.respond(initial)

    def respond(self, response: bytes) -> Step:
        parts = response.split(b"\0")
        if len(parts) != 3:
            return Refused(Reason.MALFORMED)
        authzid, identity, password = parts
        if authzid and authzid.lower() != identity.lower():  # names of accounts have no case
            return Refused(Reason.WRONG_AUTHZID)
        return _checked(identity, password)


class Login:
    """LOGIN: the name, then the password, each asked for (draft-murchison-sasl-login)."""

    def __init__(self) -> None:
        self._identity: bytes | None = None

    def start(self, initial: bytes | None) -> Step:
        return Challenge(b"Username:") if initial is None else self.respond(initial)

    def respond(self, response: bytes) -> Step:
        if self._identity is None:
            self._identity = response
            return Challenge(b"Password:")
        return _checked(self._identity, response)


def _checked(identity: bytes, password: bytes) -> Step:
    try:
        return credentials(identity, password)
    except BadCredentials:
        return Refused(Reason.MALFORMED)
