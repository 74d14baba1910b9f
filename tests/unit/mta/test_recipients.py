"""Who may send to whom."""

from __future__ import annotations

import pytest

from services.mta.client import Client, Role, Transaction
from services.mta.commands import Mail, Rcpt
from services.mta.limits import Limits
from services.mta.recipients import Recipients
from shared.address import Address, parse_address
from shared.errors import MailFailure
from shared.message.envelope import Lane, Recipient
from tests.unit.mta.fakes import ALICE, FakeDirectory

ENTRY = "01M83AEFQKGVM4BHG04Y13W1KF"


def make(limits: Limits | None = None, hostname: str = "mail.a.test") -> tuple[Recipients, FakeDirectory]:
    directory = FakeDirectory()
    return Recipients(directory, hostname, limits or Limits()), directory


def client(role: Role, *, logged_in: bool = False) -> Client:
    return Client("192.0.2.7", role, helo="c.test", extended=True, account=ALICE if logged_in else None)


async def add(recipients: Recipients, role: Role, *addresses: str | None) -> list[Recipient | str]:
    """Add recipients in turn; a refusal's code and status stands for the refused."""
    transaction = Transaction(Mail(None), ENTRY)
    refused: list[Recipient | str] = []
    for address in addresses:
        try:
            rcpt = Rcpt(parse_address(address) if address else None)
            await recipients.add(client(role), transaction, rcpt)
        except MailFailure as failure:
            refused.append(f"{failure.code} {failure.status}")
    return [*transaction.recipients.values(), *refused]


@pytest.mark.parametrize(
    ("role", "address", "outcome"),
    [
        (Role.MX, "alice@a.test", Lane.DELIVERY),
        (Role.MX, "Alice+tag@A.test", Lane.DELIVERY),
        (Role.MX, "nobody@a.test", "550 5.1.1"),
        (Role.MX, "full@a.test", "552 5.2.2"),
        (Role.MX, "gone@a.test", "550 5.2.1"),
        (Role.MX, "x@elsewhere.test", "554 5.7.1"),
        (Role.MX, "x@[192.0.2.1]", "554 5.7.1"),
        (Role.MX, "alice%a.test@elsewhere.test", "554 5.7.1"),
        (Role.MX, '"x@elsewhere.test"@a.test', "550 5.1.1"),
        (Role.SUBMISSION, "alice@a.test", Lane.DELIVERY),
        (Role.SUBMISSION, "x@elsewhere.test", Lane.RELAY),
        (Role.SUBMISSION, "nobody@a.test", "550 5.1.1"),
    ],
)
async def test_one_recipient(role: Role, address: str, outcome: Lane | str) -> None:
    [got] = await add(make()[0], role, address)
    assert (got.lane if isinstance(got, Recipient) else got) == outcome


async def test_twice_is_once() -> None:
    got = await add(make()[0], Role.MX, "alice@a.test", "ALICE@a.test", "alice+x@a.test")
    assert [r.address for r in got if isinstance(r, Recipient)] == ["alice@a.test", "alice+x@a.test"]


async def test_number_of_recipients_is_limited() -> None:
    recipients, _ = make(Limits(recipients=2))
    got = await add(recipients, Role.SUBMISSION, "a@x.test", "b@x.test", "c@x.test", "a@x.test")
    assert len(got) == 3 and got[2] == "452 4.5.3"


@pytest.mark.parametrize("hostname", ["mail.a.test", "a.test", "MX.A.test"])
async def test_postmaster_without_domain(hostname: str) -> None:
    [got] = await add(make(hostname=hostname)[0], Role.MX, None)
    assert isinstance(got, Recipient) and got.address == "postmaster@a.test"


async def test_postmaster_of_a_host_outside_our_domains() -> None:
    assert await add(make(hostname="mx.provider.test")[0], Role.MX, None) == ["550 5.1.1"]


async def test_directory_away_is_temporary() -> None:
    recipients, directory = make()
    directory.away = True
    assert await add(recipients, Role.MX, "alice@a.test") == ["451 4.3.0"]


@pytest.mark.parametrize(
    ("role", "logged_in", "sender", "outcome"),
    [
        (Role.MX, False, "anybody@x.test", ""),
        (Role.MX, False, "", ""),
        (Role.SUBMISSION, True, "alice@a.test", ""),
        (Role.SUBMISSION, True, "alice+tag@a.test", ""),
        (Role.SUBMISSION, True, "bob@a.test", "553 5.7.1"),
        (Role.SUBMISSION, True, "alice@elsewhere.test", "553 5.7.1"),
        (Role.SUBMISSION, True, "", ""),
        (Role.SUBMISSION, False, "app@x.test", ""),  # from a trusted network, or the session refuses before
    ],
)
async def test_sender(role: Role, logged_in: bool, sender: str, outcome: str) -> None:
    mail = Mail(parse_address(sender) if sender else None)
    try:
        await make()[0].check_sender(client(role, logged_in=logged_in), mail)
        got = ""
    except MailFailure as failure:
        got = f"{failure.code} {failure.status}"
    assert got == outcome


async def test_announced_size() -> None:
    recipients, _ = make(Limits(message_size=1000))
    await recipients.check_sender(client(Role.MX), Mail(Address("x", "x.test"), size=1000))
    with pytest.raises(MailFailure, match=r"552 5\.3\.4"):
        await recipients.check_sender(client(Role.MX), Mail(Address("x", "x.test"), size=1001))
