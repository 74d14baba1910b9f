"""Why an operation on a mailbox isn't done; `code` is the IMAP response code to answer NO with (RFC 5530)."""

from __future__ import annotations

from shared.errors import PacketboatError, TemporaryFailure


class MailboxError(PacketboatError):
    """Base of the refusals; the message is one line for the client."""

    code = "CANNOT"


class NoSuchMailbox(MailboxError):
    """There is no mailbox of that name, or it was deleted meanwhile."""

    code = "NONEXISTENT"


class MailboxExists(MailboxError):
    """The name is taken."""

    code = "ALREADYEXISTS"


class NotAllowed(MailboxError):
    """Nobody may do that: delete INBOX, rename a mailbox below itself."""


class NotPermitted(MailboxError):
    """The owner of the mailbox doesn't let this account do that (RFC 4314)."""

    code = "NOPERM"


class HasChildren(MailboxError):
    """The name exists only as the parent of others (RFC 3501 §6.3.4)."""

    code = "HASCHILDREN"


class LimitReached(MailboxError):
    """A named limit: mailboxes of an account, subscriptions, keywords of a mailbox."""

    code = "LIMIT"


class OverQuota(MailboxError):
    """The account's quota has no room for it (RFC 9208)."""

    code = "OVERQUOTA"


class MessageGone(MailboxError):
    """The message was expunged and its bytes are no longer kept."""

    code = "EXPUNGEISSUED"


class SegmentRewritten(TemporaryFailure):
    """Compaction replaced the segment before a row referred to it: append the bytes again."""
