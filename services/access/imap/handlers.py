"""Which handler each command has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from services.access.imap import (
    acl,
    append,
    capability,
    compress,
    context,
    copy,
    enable,
    expunge,
    fetch,
    idle,
    login,
    mailbox,
    metadata,
    namespace,
    notify,
    quota,
    search,
    select,
    sort,
    status,
    store,
    thread,
    unauthenticate,
)
from services.access.imap import list as listing
from services.access.imap.outcome import Outcome
from shared.imap import command as commands
from shared.imap.command import Command

Handler = Callable[[Any, Any], Awaitable[Outcome | None]]

HANDLERS: dict[type[Command], Handler] = {
    commands.Capability: capability.capability,
    commands.Noop: capability.nothing,
    commands.Check: capability.nothing,
    commands.Id: capability.identify,
    commands.Namespace: namespace.namespace,
    commands.Enable: enable.enable,
    commands.Logout: capability.logout,
    commands.StartTls: login.start_tls,
    commands.Login: login.log_in,
    commands.Authenticate: login.authenticate,
    commands.Select: select.select,
    commands.Examine: select.select,
    commands.Close: select.close,
    commands.Unselect: select.unselect,
    commands.List: listing.list_mailboxes,
    commands.Lsub: listing.list_subscribed,
    commands.Create: mailbox.create,
    commands.Delete: mailbox.delete,
    commands.Rename: mailbox.rename,
    commands.Subscribe: mailbox.subscribe,
    commands.Unsubscribe: mailbox.unsubscribe,
    commands.Status: status.status,
    commands.SetAcl: acl.set_acl,
    commands.DeleteAcl: acl.delete_acl,
    commands.GetAcl: acl.get_acl,
    commands.ListRights: acl.list_rights,
    commands.MyRights: acl.my_rights,
    commands.GetQuota: quota.get_quota,
    commands.GetQuotaRoot: quota.get_quota_root,
    commands.SetQuota: quota.set_quota,
    commands.GetMetadata: metadata.get_metadata,
    commands.SetMetadata: metadata.set_metadata,
    commands.Append: append.append,
    commands.Replace: append.append,
    commands.Compress: compress.compress,
    commands.Unauthenticate: unauthenticate.unauthenticate,
    commands.Fetch: fetch.fetch,
    commands.Store: store.store,
    commands.Copy: copy.copy,
    commands.Move: copy.move,
    commands.Expunge: expunge.expunge,
    commands.UidExpunge: expunge.uid_expunge,
    commands.Search: search.search,
    commands.MultiSearch: search.multi_search,
    commands.Sort: sort.sort_messages,
    commands.Thread: thread.thread_messages,
    commands.CancelUpdate: context.cancel_update,
    commands.Idle: idle.begin,
    commands.Notify: notify.notify,
}
"""A handler answers by an Outcome, or by None when the command isn't finished yet."""
