"""GETQUOTA, GETQUOTAROOT and SETQUOTA: each account is one quota root, named by its address (RFC 9208)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.access.imap import namespace
from services.access.imap.outcome import Outcome, done, refused
from shared.imap import command as commands
from shared.imap import mailbox_response, response
from shared.imap.mailbox_name import split_shared
from shared.mailbox.usage import Usage

if TYPE_CHECKING:
    from services.access.imap.session import ImapSession


async def get_quota(session: ImapSession, command: commands.GetQuota) -> Outcome:
    """Tell the quota of the session's account; "" names it too."""
    account = session.the_account()
    if command.root.lower() not in (account.address, ""):
        return refused(b"There is no such quota root", response.NONEXISTENT)
    usage = await session.desk.messages.usage(account.id)
    session.write(mailbox_response.quota(command.root, _resources(usage)))
    return done(b"GETQUOTA completed")


async def get_quota_root(session: ImapSession, command: commands.GetQuotaRoot) -> Outcome:
    """Tell whose quota a mailbox is charged to; one's own need not exist yet."""
    account_id, root = session.the_account().id, session.the_account().address
    if split_shared(command.mailbox) is not None:
        access = await namespace.find(session, command.mailbox)
        account_id, root = access.mailbox.account_id, access.owner
    usage = await session.desk.messages.usage(account_id)
    name = response.mailbox(command.mailbox, utf8=session.utf8)
    session.write(mailbox_response.quota_root(name, root) + mailbox_response.quota(root, _resources(usage)))
    return done(b"GETQUOTAROOT completed")


async def set_quota(session: ImapSession, command: commands.SetQuota) -> Outcome:
    """Refuse: QUOTASET isn't offered."""
    return refused(b"Quotas are set by the operator", response.NOPERM)


def _resources(usage: Usage) -> dict[bytes, tuple[int, int]]:
    """Return what is limited; STORAGE in units of 1,024 octets, rounded up."""
    resources: dict[bytes, tuple[int, int]] = {}
    if usage.quota_bytes:
        resources[b"STORAGE"] = _units(usage.used_bytes), _units(usage.quota_bytes)
    if usage.quota_messages:
        resources[b"MESSAGE"] = usage.used_messages, usage.quota_messages
    return resources


def _units(octets: int) -> int:
    return -(-octets // mailbox_response.UNIT)
