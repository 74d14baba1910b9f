"""What the server says (RFC 5321 §4.2, enhanced codes: RFC 2034, 3463, 5248)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.errors import MailFailure, PermanentFailure
from shared.sasl.mechanism import Reason

EXTENSIONS = ("PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN", "CHUNKING", "DELIVERBY", "HELP")
MAX_REPLY_TEXT = 400  # octets of one refusal: RFC 5321 §4.5.3.1.5 allows 512 for a line


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reply that refuses a command; called, it gives the exception (one raised twice would keep both tracebacks)."""

    code: int
    status: str
    text: str

    def __call__(self) -> PermanentFailure:
        return PermanentFailure(self.text, code=self.code, status=self.status)


OK = b"250 2.0.0 Ok"
SENDER_OK = b"250 2.1.0 Ok"
RECIPIENT_OK = b"250 2.1.5 Ok"
START_TEXT = b"354 End data with <CR><LF>.<CR><LF>"
LOGGED_IN = b"235 2.7.0 Authentication successful"
READY_FOR_TLS = b"220 2.0.0 Ready to start TLS"
CANNOT_VERIFY = b"252 2.5.2 Cannot VRFY user, but will accept message and attempt delivery"
LMTP_ONLY_FROM_OURS = b"554 5.7.1 LMTP is for this host and trusted networks"
BYE = b"221 2.0.0 Bye"

SHUTTING_DOWN = b"421 4.3.2 Shutting down, try again"
TIMEOUT = b"421 4.4.2 Timeout"
TOO_MANY_CONNECTIONS = b"421 4.7.0 Too many connections"
TOO_MANY_ERRORS = b"421 4.7.0 Too many errors"
TOO_MANY_COMMANDS = b"421 4.7.0 Too many commands"
INTERNAL_ERROR = b"451 4.3.0 Internal error"
LINE_TOO_LONG = b"500 5.5.6 Line too long"
TOO_BIG = b"552 5.3.4 Message too big"

UNKNOWN_COMMAND = Refusal(500, "5.5.2", "Command not recognized")
BARE_LINE_END = Refusal(500, "5.5.2", "Commands end with CRLF, without bare CR, LF or NUL")
NO_ARGUMENT = Refusal(501, "5.5.4", "This command takes no argument")
NOT_LMTP = Refusal(500, "5.5.1", "This is LMTP: LHLO first")
BAD_HELO = Refusal(501, "5.5.4", "Syntax: EHLO hostname")
NOT_IMPLEMENTED = Refusal(502, "5.5.1", "Command not implemented")
NO_TLS = Refusal(502, "5.5.1", "STARTTLS not available now")
NO_AUTH = Refusal(502, "5.5.1", "AUTH is for the submission ports")
NEED_HELO = Refusal(503, "5.5.1", "EHLO first")
NESTED_MAIL = Refusal(503, "5.5.1", "Nested MAIL command")
NEED_MAIL = Refusal(503, "5.5.1", "MAIL first")
NEED_RCPT = Refusal(503, "5.5.1", "No valid recipients")
AUTH_NOW = Refusal(503, "5.5.1", "No AUTH now")
NEED_AUTH = Refusal(530, "5.7.0", "Authentication required")
NEED_TLS = Refusal(530, "5.7.0", "Must issue a STARTTLS command first")
BAD_CREDENTIALS = Refusal(535, "5.7.8", "Authentication credentials invalid")
AUTH_NEEDS_TLS = Refusal(538, "5.7.11", "Encryption required for authentication")

_AUTH_REFUSALS = {
    Reason.UNKNOWN_MECHANISM: (504, "5.5.4"),
    Reason.MALFORMED: (501, "5.5.2"),
    Reason.TOO_LONG: (500, "5.5.6"),
    Reason.CANCELLED: (501, "5.7.0"),
    Reason.WRONG_AUTHZID: (535, "5.7.8"),
    Reason.CHANNEL_BINDING: (535, "5.7.8"),
}


def greeting(hostname: str, protocol: str = "ESMTP") -> bytes:
    """Return the reply that opens a session."""
    return f"220 {hostname} {protocol} Packetboat".encode()


def multiline(code: int, lines: Sequence[str]) -> bytes:
    """Return a reply of several lines, without the last CRLF."""
    return b"\r\n".join([*(f"{code}-{line}".encode() for line in lines[:-1]), f"{code} {lines[-1]}".encode()])


def refusal(failure: MailFailure) -> bytes:
    """Return a failure as a reply line: ASCII, without control characters, of bounded length."""
    text = " ".join(str(failure).split())
    return "".join(c if c.isprintable() else "?" for c in text).encode("ascii", "replace")[:MAX_REPLY_TEXT]


def syntax(form: str) -> PermanentFailure:
    """Return the refusal of a command of another form than this."""
    return PermanentFailure(f"Syntax: {form}", code=501, status="5.5.4")


def auth_refusal(reason: Reason) -> PermanentFailure:
    """Return what to say of an AUTH exchange that ended without credentials (RFC 4954 §4, §6)."""
    code, status = _AUTH_REFUSALS[reason]
    return PermanentFailure(reason.value, code=code, status=status)
