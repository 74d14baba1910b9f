"""One mail transaction as a client sends it: the commands, and what can't be sent to a given server.

A server without 8BITMIME gets no 8-bit message: it fails with 5.6.3 (RFC 6152 §3). Postfix would convert it to
quoted-printable, which breaks the message's DKIM signature; servers without 8BITMIME have become so rare that an
honest bounce serves the sender better. A message that is in fact 7-bit goes out whatever its sender declared.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from shared.smtp.extensions import Extensions
from shared.smtp.reply import Reply, local_reply
from shared.smtp.xtext import is_xtext

MAX_PATH = 1024  # octets of an address in a command: far beyond RFC 5321's 256, below what servers choke on
MAX_ENVID = 100  # characters, RFC 3461 §4.4
MAX_BY_SECONDS = 999_999_999  # RFC 2852 §4
MAX_ORCPT = 500  # characters, RFC 3461 §4.2

_UNSAFE = re.compile(r"[\x00-\x1f\x7f<>\ud800-\udfff]")  # would end the path or the line
_NOTIFY = re.compile(r"NEVER\Z|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY)){0,2}\Z")
_ORCPT = re.compile(r"[A-Za-z0-9\-]{1,40};(.*)\Z")


@dataclass(frozen=True, slots=True)
class Target:
    """One RCPT; `orcpt` and `notify` are the parameters of RFC 3461 as they came, "" for none."""

    address: str
    orcpt: str = ""
    notify: str = ""


@dataclass(frozen=True, slots=True)
class By:
    """RFC 2852: seconds left, N(otify) or R(eturn), whether each relaying is reported."""

    seconds: int
    mode: str
    trace: bool = False

    def __str__(self) -> str:
        limit = MAX_BY_SECONDS
        return f"{min(max(self.seconds, -limit), limit)};{self.mode}{'T' if self.trace else ''}"


@dataclass(frozen=True, slots=True, eq=False)
class Transaction:
    """One message to several recipients of a server; compared by identity."""

    sender: str  # "" for the null reverse-path
    targets: tuple[Target, ...]
    size: int  # octets of the message
    eight_bit: bool = False  # the message has octets over 127
    smtputf8: bool = False  # its header has them, RFC 6531
    ret: str = ""
    envid: str = ""
    by: By | None = None


def refusals(transaction: Transaction, extensions: Extensions) -> list[Reply | None]:
    """Return for each target why it can't be sent to a server with these extensions, None where it can."""
    refusal = _refuse_message(transaction, extensions)
    if refusal is not None:
        return [refusal] * len(transaction.targets)
    return [_refuse_target(target, extensions) for target in transaction.targets]


def mail_command(transaction: Transaction, extensions: Extensions) -> bytes:
    """Return the MAIL line; only for a transaction that isn't refused."""
    line = f"MAIL FROM:<{transaction.sender}>"
    if "SIZE" in extensions:
        line += f" SIZE={transaction.size}"
    if transaction.eight_bit and "8BITMIME" in extensions:
        line += " BODY=8BITMIME"
    if "SMTPUTF8" in extensions and _needs_smtputf8(transaction):
        line += " SMTPUTF8"
    if "DSN" in extensions:
        if transaction.ret in ("FULL", "HDRS"):
            line += f" RET={transaction.ret}"
        if transaction.envid and len(transaction.envid) <= MAX_ENVID and is_xtext(transaction.envid):
            line += f" ENVID={transaction.envid}"
    if "DELIVERBY" in extensions and transaction.by is not None:
        line += f" BY={transaction.by}"
    return line.encode() + b"\r\n"


def rcpt_command(target: Target, extensions: Extensions) -> bytes:
    """Return the RCPT line; only for a target that isn't refused."""
    line = f"RCPT TO:<{target.address}>"
    if "DSN" in extensions:
        if _NOTIFY.match(target.notify):
            line += f" NOTIFY={target.notify}"
        if _is_orcpt(target.orcpt):
            line += f" ORCPT={target.orcpt}"
    return line.encode() + b"\r\n"


def _refuse_message(transaction: Transaction, extensions: Extensions) -> Reply | None:
    limit = extensions.max_size
    if limit and transaction.size > limit:
        return local_reply(
            552, "5.3.4", f"the message of {transaction.size} octets is over the host's limit of {limit}"
        )
    if not _is_path(transaction.sender):
        return local_reply(553, "5.1.7", "the sender's address can't be sent")
    header_or_sender = transaction.smtputf8 or not transaction.sender.isascii()
    if header_or_sender and "SMTPUTF8" not in extensions:
        return local_reply(550, "5.6.7", "the message needs SMTPUTF8, which the host doesn't offer")
    if transaction.eight_bit and "8BITMIME" not in extensions:
        return local_reply(554, "5.6.3", "the message has 8-bit data, and the host doesn't offer 8BITMIME")
    return _refuse_late(transaction.by, extensions)


def _refuse_late(by: By | None, extensions: Extensions) -> Reply | None:
    """RFC 2852 §4.1: what is to be returned goes only to hosts that take that over, and in time."""
    if by is None or by.mode != "R":
        return None
    if by.seconds <= 0:
        return local_reply(554, "5.4.7", "the time within which it was to be delivered is over")
    if "DELIVERBY" not in extensions:
        return local_reply(554, "5.3.3", "it is to be delivered in time, which the host doesn't promise")
    if by.seconds < extensions.min_by_time:
        return local_reply(554, "5.4.7", f"the host takes over no less than {extensions.min_by_time} s for delivery")
    return None


def _refuse_target(target: Target, extensions: Extensions) -> Reply | None:
    if not _is_path(target.address) or not target.address:
        return local_reply(553, "5.1.3", "the recipient's address can't be sent")
    if not target.address.isascii() and "SMTPUTF8" not in extensions:
        return local_reply(553, "5.6.7", "the address needs SMTPUTF8, which the host doesn't offer")
    return None


def _needs_smtputf8(transaction: Transaction) -> bool:
    return (
        transaction.smtputf8
        or not transaction.sender.isascii()
        or any(not target.address.isascii() for target in transaction.targets)
    )


def _is_path(address: str) -> bool:
    # a quoted local part may hold <, > and spaces; those with brackets aren't worth the risk
    return len(address) <= MAX_PATH and not _UNSAFE.search(address)


def _is_orcpt(orcpt: str) -> bool:
    match = _ORCPT.match(orcpt)
    return match is not None and len(orcpt) <= MAX_ORCPT and is_xtext(match[1])
