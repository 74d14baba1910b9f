"""Who may send to whom: the policy of MAIL and RCPT, never an open relay."""

from __future__ import annotations

from typing import Protocol

from services.mta.client import Client, Role, Transaction
from services.mta.commands import Mail, Rcpt
from services.mta.limits import Limits
from shared.address import Address, AddressError, parse_address
from shared.directory import Account, Verdict
from shared.errors import PermanentFailure, TemporaryFailure
from shared.message.envelope import Lane, Recipient


class AddressBook(Protocol):
    """What is asked of the directory."""

    async def verify(self, address: Address) -> Verdict: ...

    def verified(self, address: Address) -> Verdict | None: ...

    async def may_send_as(self, account: Account, address: Address) -> bool: ...


class Recipients:
    """Decides on senders and recipients; a refusal is a MailFailure with the reply."""

    def __init__(self, directory: AddressBook, hostname: str, limits: Limits) -> None:
        self._directory = directory
        self._hostname = hostname
        self._limits = limits

    async def check_sender(self, client: Client, mail: Mail) -> None:
        """Refuse what is too big, and on submission a sender whom the client isn't."""
        if mail.size > self._limits.message_size:
            raise PermanentFailure("Message too big", code=552, status="5.3.4")
        if client.role is not Role.SUBMISSION or mail.sender is None:
            return  # a null reverse-path from submission is a disposition notification (RFC 8098)
        if client.account is None:
            return  # trusted networks may write as anybody
        if not await self._directory.may_send_as(client.account, mail.sender):
            text = f"{mail.sender} is not an address of {client.account.address}"
            raise PermanentFailure(text, code=553, status="5.7.1")

    async def add(self, client: Client, transaction: Transaction, rcpt: Rcpt) -> None:
        """Add a recipient to the message, in the lane that its address belongs to; twice is once."""
        address = rcpt.recipient or await self._postmaster()
        written = str(address)
        key = written.lower()  # Address.key
        if key not in transaction.recipients:
            if len(transaction.recipients) >= self._limits.recipients:
                raise TemporaryFailure("Too many recipients", code=452, status="4.5.3")
            lane = await self._lane(client, address)
            transaction.recipients[key] = Recipient(written, lane, rcpt.orcpt, rcpt.notify)

    def add_at_once(self, client: Client, transaction: Transaction, rcpt: Rcpt) -> bool:
        """Do what `add` does if the directory says yes without waiting; False, and nothing done, otherwise."""
        address = rcpt.recipient
        if address is None or len(transaction.recipients) >= self._limits.recipients:
            return False
        lane = _lane_of(self._directory.verified(address), client)
        if lane is None:
            return False
        written = str(address)
        transaction.recipients.setdefault(written.lower(), Recipient(written, lane, rcpt.orcpt, rcpt.notify))
        return True

    async def place(self, text: str) -> Recipient | None:
        """Return a recipient that the operator's milter adds, wherever it lies; None where nothing can be delivered."""
        try:
            address = parse_address(text)
        except AddressError:
            return None
        verdict = await self._directory.verify(address)
        if verdict is Verdict.NOT_LOCAL:
            return Recipient(str(address), Lane.RELAY)
        return Recipient(str(address), Lane.DELIVERY) if verdict is Verdict.LOCAL else None

    async def _lane(self, client: Client, address: Address) -> Lane:
        verdict = await self._directory.verify(address)
        lane = _lane_of(verdict, client)
        if lane is None:
            raise _refusal(verdict, address)
        return lane

    async def _postmaster(self) -> Address:
        """<postmaster> without a domain is that of our host name or of the domain it lies in."""
        labels = self._hostname.split(".")
        for start in range(len(labels)):
            address = Address("postmaster", ".".join(labels[start:]).lower())
            if await self._directory.verify(address) is not Verdict.NOT_LOCAL:
                return address
        raise PermanentFailure("postmaster needs a domain here", code=550, status="5.1.1")


def _lane_of(verdict: Verdict | None, client: Client) -> Lane | None:
    if verdict is Verdict.LOCAL:
        return Lane.DELIVERY
    return Lane.RELAY if verdict is Verdict.NOT_LOCAL and client.role is Role.SUBMISSION else None


def _refusal(verdict: Verdict, address: Address) -> PermanentFailure:
    if verdict is Verdict.NOT_LOCAL:
        return PermanentFailure("Relaying denied", code=554, status="5.7.1")
    if verdict is Verdict.OVER_QUOTA:
        return PermanentFailure(f"The mailbox of {address} is full", code=552, status="5.2.2")
    if verdict is Verdict.DISABLED:
        return PermanentFailure(f"{address} is disabled", code=550, status="5.2.1")
    return PermanentFailure(f"{address} is unknown", code=550, status="5.1.1")
