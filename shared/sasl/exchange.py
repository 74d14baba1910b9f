"""An exchange as IMAP, POP3 and SMTP carry it: base64 lines, `=` for empty, `*` to cancel.

step = exchange.begin(mechanism, initial_response)
while isinstance(step, Challenge | Lookup):
    if isinstance(step, Lookup):
        step = exchange.provide(verifiers_of(step.identity))
    else:
        send(b"+ " + encode(step)); step = exchange.receive(await line())
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterable, Mapping

from shared.sasl.mechanism import Challenge, Mechanism, Reason, Refused, Step
from shared.sasl.mechanisms import MAKERS, OFFERED
from shared.sasl.scram import Scram, Verifier

MAX_RESPONSE = 12_288  # octets of base64 (RFC 4954 §4)
MAX_STEPS = 8

_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


def encode(challenge: Challenge) -> bytes:
    """Return a challenge in base64, empty for an empty one."""
    return binascii.b2a_base64(challenge.data, newline=False)


class Exchange:
    """One AUTHENTICATE or AUTH command, from its mechanism to credentials or refusal."""

    def __init__(self, mechanisms: Iterable[bytes] = OFFERED, bindings: Mapping[str, bytes] | None = None) -> None:
        """Allow some mechanisms, over a connection with these channel bindings by type (RFC 5929)."""
        self._mechanisms = frozenset(mechanisms)
        self._bindings = bindings or {}
        self._mechanism: Mechanism | None = None
        self._steps = 0

    def begin(self, name: bytes, initial_response: bytes | None = None) -> Step:
        """Start a mechanism, with its initial response as on the wire (RFC 4959, RFC 5034, RFC 4954)."""
        if name.upper() not in self._mechanisms:
            return Refused(Reason.UNKNOWN_MECHANISM)
        self._mechanism = mechanism = MAKERS[name.upper()](self._bindings)
        if initial_response is None:
            return mechanism.start(None)
        if initial_response == b"=":
            return mechanism.start(b"")
        return _decoded(initial_response, mechanism.start)

    def receive(self, line: bytes) -> Step:
        """Take the client's response line, without its CRLF."""
        if self._mechanism is None:
            raise RuntimeError("the exchange has not begun")
        self._steps += 1
        if line == b"*":
            return Refused(Reason.CANCELLED)
        if self._steps > MAX_STEPS:
            return Refused(Reason.MALFORMED)
        return _decoded(line, self._mechanism.respond)

    def provide(self, verifiers: Iterable[tuple[int, Verifier]]) -> Step:
        """Answer a Lookup with the identity's credentials and their verifiers, or with a decoy."""
        if not isinstance(self._mechanism, Scram):
            raise RuntimeError("nothing was looked up")
        return self._mechanism.provide(verifiers)


def _decoded(line: bytes, give: Callable[[bytes], Step]) -> Step:
    if len(line) > MAX_RESPONSE:
        return Refused(Reason.TOO_LONG)
    if _BASE64.fullmatch(line) is None:
        return Refused(Reason.MALFORMED)
    return give(binascii.a2b_base64(line))
