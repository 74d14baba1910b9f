"""Actions and changes in a few words, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.sieve.actions import (
    AddHeader,
    DeleteHeader,
    Enclose,
    EReject,
    FileInto,
    Keep,
    Notify,
    Redirect,
    Reject,
    ReplacePart,
    TrackDuplicate,
    Vacation,
)
from shared.sieve.limits import MAX_SHOWN_VALUE

if TYPE_CHECKING:
    from shared.sieve.actions import Action, Edit


def describe(action: Action) -> str:
    """An action in a few words, for people."""
    match action:
        case Keep(flags=flags, implicit=implicit):
            return ("implicit keep" if implicit else "keep") + _with_flags(flags)
        case FileInto():
            options = [word for word, on in (("copy", action.copy), ("create", action.create)) if on]
            if action.special_use:
                options.append(f"special use {action.special_use}")
            if action.mailbox_id:
                options.append(f"mailbox id {action.mailbox_id}")
            more = f" ({', '.join(options)})" if options else ""
            return f'file into "{action.mailbox}"{more}{_with_flags(action.flags)}'
        case Redirect(address=address, copy=copy):
            return f"redirect to <{address}>" + (" (copy)" if copy else "")
        case Reject(reason=reason) | EReject(reason=reason):
            return f"{name_of(action)}: {reason[:MAX_SHOWN_VALUE]!r}"
        case Vacation(sender=sender, subject=subject):
            return f"vacation: answer <{sender}> with {subject!r}, at most once in {action.seconds} s"
        case Notify(method=method):
            return f"notify {method}"
        case TrackDuplicate(seconds=seconds):
            return f"remember this message for {seconds} s to find duplicates"
        case _:
            return name_of(action)


def name_of(action: Action) -> str:
    """What an action is called in a script."""
    return type(action).__name__.lower()


def describe_edit(edit: Edit) -> str:
    """A change to the message in a few words."""
    match edit:
        case AddHeader(name=name, value=value, last=last):
            return f"{name}: {value[:MAX_SHOWN_VALUE]} was added at the {'end' if last else 'top'} of the header"
        case DeleteHeader(name=name, occurrence=occurrence, value=value):
            return f"{name}: {value[:MAX_SHOWN_VALUE]} was deleted (number {occurrence} of this name)"
        case ReplacePart(part=part, media=media):
            return f"{f'part {part}' if part else 'the whole message'} was replaced by {media}"
        case Enclose(subject=subject):
            return f"the message was enclosed in a new one about {subject[:MAX_SHOWN_VALUE]!r}"


def _with_flags(flags: tuple[str, ...] | None) -> str:
    return "" if flags is None else f" with flags {' '.join(flags) or '(none)'}"
