"""The named limits of an SMTP session; an operator sets some of them (see settings.py)."""

from __future__ import annotations

from dataclasses import dataclass

MAX_LINE = 2048  # octets of a command with CRLF: RFC 5321's 512, and what RFC 1870, 3461 and 6531 add to it
MAX_AUTH_LINE = 12_288  # octets of an AUTH command or response (RFC 4954 §4)
MAX_PATH = 256  # octets with the angle brackets (RFC 5321 §4.5.3.1.3)
MAX_ENVID = 100  # octets (RFC 3461 §4.4)
MAX_ORCPT = 500  # octets (RFC 3461 §4.2)
MAX_PARAMETERS = 20  # of one MAIL or RCPT
MAX_HELO = 255  # octets
MAX_SIZE_DIGITS = 20  # RFC 1870 §3, RFC 3030 §2
MAX_RECEIVED = 100  # Received fields: more is a loop (RFC 5321 §6.3)
TEXT_PIECE = 64 * 1024  # octets of a message's text that are gathered before they are looked at
MAX_GATHERED = 64  # pieces that are gathered, however short
MAX_UNREAD = 128 * 1024  # octets that a client may be ahead before it isn't read any more
MAX_REPLIES = 100  # kept while a client sends more without waiting
LINGER = 10.0  # seconds that a closed connection has for our last reply
EXCESS = 4  # times the size limit that is read and thrown away before the connection is closed


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one worker process; sizes are octets, times seconds."""

    message_size: int = 50 * 1024 * 1024
    recipients: int = 1000  # of one message
    connections: int = 2000
    connections_per_ip: int = 200  # an IPv6 /64 counts as one
    commands: int = 5000  # of one session between two accepted messages
    errors: int = 50  # refused commands of one session between two accepted messages
    command_time: float = 300.0  # between two commands, and between two pieces of a message
    message_time: float = 3600.0  # from DATA or the first BDAT to the end of the message
    messages_per_hour: int = 1000  # of one account
