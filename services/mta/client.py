"""Who is connected, and the message that they are sending."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING

from services.mta.body import Body
from services.mta.commands import Mail
from shared.directory import Account
from shared.message.compose import protocol_name
from shared.message.envelope import Origin, Recipient

if TYPE_CHECKING:
    from services.mta.milters import SessionMilters


class Role(Enum):
    """What a listener is for."""

    MX = "mx"  # anybody's mail for our domains
    SUBMISSION = "submission"  # our users' mail for anybody (RFC 6409)
    LMTP = "lmtp"  # mail for our domains that another MTA of ours took (RFC 2033)


@dataclass(slots=True)
class Client:
    """The other side of a connection, as far as it is known by now."""

    ip: str
    role: Role
    trusted: bool = False  # may submit without logging in
    helo: str = ""  # "" before HELO or EHLO
    extended: bool = False  # greeted with EHLO
    tls: str = ""  # version and cipher
    account: Account | None = None  # who is logged in

    def forget(self) -> None:
        """Forget what was said before TLS (RFC 3207 §4.2)."""
        self.helo, self.extended, self.account = "", False, None

    def origin(self, *, smtputf8: bool) -> Origin:
        """Return what the envelope keeps of the client."""
        account = self.account.address if self.account is not None else ""
        return _origin(self.role, self.ip, self.helo, self.extended, self.tls, account, smtputf8)


@dataclass(slots=True)
class Transaction:
    """From MAIL to the end of the text (RFC 5321 §3.3)."""

    mail: Mail
    entry: str  # the id that the message will have
    recipients: dict[str, Recipient] = field(default_factory=dict)  # by Address.key: once each
    body: Body | None = None  # while BDAT goes on
    broken: bool = False  # a BDAT was refused: the rest only gets read (RFC 3030 §2)
    milters: SessionMilters | None = None  # who listen to it


@lru_cache(maxsize=1024)  # one client's messages have it in common
def _origin(role: Role, ip: str, helo: str, extended: bool, tls: str, account: str, smtputf8: bool) -> Origin:
    protocol = protocol_name(
        extended=extended, tls=bool(tls), authenticated=bool(account), utf8=smtputf8, lmtp=role is Role.LMTP
    )
    return Origin(role.value, ip, helo, protocol, tls, account)
