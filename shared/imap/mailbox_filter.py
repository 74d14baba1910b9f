"""Which mailboxes a command is about: `(personal subtree ("a" "b"))` (RFC 5465 §6, RFC 7377 §2.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from shared.imap.grammar import Scanner, SyntaxFailure
from shared.imap.limits import MAX_SOURCES


class FilterKind(Enum):
    """How mailboxes are chosen; the value is its name on the wire."""

    SELECTED = b"SELECTED"
    INBOXES = b"INBOXES"
    PERSONAL = b"PERSONAL"
    SUBSCRIBED = b"SUBSCRIBED"
    SUBTREE = b"SUBTREE"
    SUBTREE_ONE = b"SUBTREE-ONE"
    MAILBOXES = b"MAILBOXES"


@dataclass(frozen=True, slots=True)
class MailboxFilter:
    """Some mailboxes; `names` for the kinds that take names."""

    kind: FilterKind
    names: tuple[str, ...] = ()


WITH_NAMES = frozenset((FilterKind.SUBTREE, FilterKind.SUBTREE_ONE, FilterKind.MAILBOXES))


def parse_sources(scanner: Scanner) -> tuple[MailboxFilter, ...]:
    """Read `(filter filter …)` after ESEARCH IN; there are no scope options yet (RFC 7377 §2.2)."""
    count = 0

    def source() -> MailboxFilter:
        nonlocal count
        found = parse_filter(scanner)
        count += len(found.names)
        if count > MAX_SOURCES:
            raise SyntaxFailure("Too many mailboxes")
        return found

    sources = scanner.parenthesised(source, MAX_SOURCES, "mailboxes")
    if not sources:
        raise SyntaxFailure("Expected mailboxes")
    return tuple(sources)


def parse_filter(scanner: Scanner) -> MailboxFilter:
    """Read `personal` or `subtree (a b)`."""
    try:
        kind = FilterKind(scanner.atom_keyword())
    except ValueError as error:
        if isinstance(error, SyntaxFailure):
            raise
        raise SyntaxFailure("Unknown kind of mailboxes") from None
    if kind not in WITH_NAMES:
        return MailboxFilter(kind)
    scanner.space()
    return MailboxFilter(kind, _one_or_more(scanner, scanner.mailbox))


def _one_or_more(scanner: Scanner, item: Callable[[], str]) -> tuple[str, ...]:
    if scanner.peek() != b"(":
        return (item(),)
    names = scanner.parenthesised(item, MAX_SOURCES, "mailboxes")
    if not names:
        raise SyntaxFailure("Expected mailboxes")
    return tuple(names)
