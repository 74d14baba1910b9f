"""The selected mailbox of a session: its view, flags, and what has changed since (RFC 3501 §5.2, §7.3-7.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from shared.imap import response
from shared.imap.acl import ALL_RIGHTS, FLAG_RIGHTS, READ_WRITE_RIGHTS, changeable_flags
from shared.imap.flags import ALL_BITS, KEYWORD_BITS, KEYWORD_SHIFT, FlagLists, FlagSet, Keywords
from shared.imap.sequence import Range, SequenceSet, count, in_order, intersect, normalise, subtract
from shared.imap.state import WITH_UID, WITH_VANISHED, Extension
from shared.imap.view import View
from shared.mailbox import acl, messages
from shared.mailbox.messages import Changes

if TYPE_CHECKING:
    from services.access.imap.context import Kept

MAX_RECENT_RANGES = 1_000  # of UIDs that are \Recent in a session; the oldest cease to be so
REPORT_LINES = 1_000  # lines (or ranges of UIDs) that are joined for one write
_FLAGS, _MODSEQ = itemgetter(1), itemgetter(2)


class Selected:
    """What the client knows of the mailbox, and how far the session has followed it.

    `account_id` is whose mailbox it is, maybe another account's than the session's: the one to name to `Messages`,
    and to watch. `rights` are what the session may do in it (RFC 4314); `require` asks for them.
    """

    __slots__ = (
        "_flags_from",
        "_held_from",
        "_own",
        "_told",
        "account_id",
        "contexts",
        "flags",
        "is_examined",
        "mailbox_id",
        "modseq",
        "name",
        "rights",
        "saved",
        "uidvalidity",
        "view",
    )

    def __init__(self, found: messages.Selected, *, read_only: bool, name: str = "", rights: str = ALL_RIGHTS) -> None:
        self.account_id = found.mailbox.account_id
        self.rights = rights
        self.mailbox_id = found.mailbox.id
        self.name = name or found.mailbox.name  # the client's
        self.uidvalidity = found.mailbox.uidvalidity
        self.modseq = found.mailbox.modseq
        self.is_examined = read_only
        self.view = View(found.uids)
        self.flags = FlagLists(found.keywords)
        self.saved: tuple[Range, ...] = ()  # the UIDs that `$` stands for (RFC 5182)
        self.contexts: dict[bytes, Kept] = {}  # results that are kept up to date, by their tags (RFC 5267)
        self._own: set[int] = set()
        self._told = found.mailbox.modseq  # the HIGHESTMODSEQ that the client was told last, 0 for none
        self._flags_from = 0  # the mod-sequence from which on NOTIFY had flags left out, 0 if they are told
        self._held_from = 0  # the lowest mod-sequence of an expunge that is held back, 0 without any

    def resolve(self, numbers: SequenceSet, *, uid: bool) -> tuple[Range, ...]:
        """Return the UIDs that a command names; BadSequence for a sequence number that no message has."""
        named: tuple[Range, ...] = ()
        if numbers.ranges:
            named = self.view.uids_of_uids(numbers) if uid else self.view.uids_of_sequences(numbers)
        return normalise((*named, *known_of(self.view, self.saved))) if numbers.saved else named

    @property
    def read_only(self) -> bool:
        """Whether it was opened by EXAMINE, or nothing in it may be changed (RFC 4314 §5.2)."""
        return self.is_examined or not set(READ_WRITE_RIGHTS) & set(self.rights)

    def require(self, needed: str) -> None:
        """Raise NotPermitted unless the session has all these rights in the mailbox."""
        acl.require(self.rights, needed)

    @property
    def settable(self) -> int:
        """The bits of the flags that the session may change (RFC 4314 §4)."""
        return changeable_flags(self.rights)

    def permitted(self, flags: FlagSet) -> FlagSet:
        """Return the flags that STORE may change; NotPermitted if that is none of them (RFC 4314 §4)."""
        settable = self.settable
        if settable == ALL_BITS:
            return flags
        keywords = flags.keywords if settable & KEYWORD_BITS else ()
        held = FlagSet(flags.system & settable, keywords)
        if not settable or (held == FlagSet() and flags != FlagSet()):
            self.require(FLAG_RIGHTS)
        return held

    def told(self, modseq: int) -> None:
        """Note a change of flags that the client was told of, or asked not to be."""
        if modseq > self.modseq:
            self._own.add(modseq)

    def since(self, with_flags: bool) -> int:
        """Return the mod-sequence from which on changes have to be asked for."""
        return self._flags_from if with_flags and self._flags_from else self.modseq

    def lost(self, uids: Sequence[int], before: int, modseq: int) -> None:
        """Note messages, by ascending UID, that went between two mod-sequences, unless SQL has to be asked for more."""
        if before == self.modseq:
            self.view.expunge(in_order(uids))
            self._hold(modseq)
            self.modseq = modseq

    def learn(self, keywords: Keywords) -> bytes:
        """Take the mailbox's keywords; return what tells the client of new ones."""
        if keywords.names == self.flags.keywords.names:
            return b""
        self.flags = FlagLists(keywords, self.flags.recent)
        return self.known_flags()

    def gain(self, recent: Sequence[Range]) -> bool:
        r"""Take UIDs that are \Recent in this session (RFC 3501 §2.3.2); say whether some weren't before."""
        if not subtract(recent, self.flags.recent):
            return False
        self.flags.recent = normalise((*self.flags.recent, *recent))[-MAX_RECENT_RANGES:]
        return True

    def recent_line(self) -> bytes:
        """Return the RECENT response."""
        return response.recent(self._recent())

    def lacks_keywords(self, rows: Sequence[Any]) -> bool:
        """Say whether (uid, flags, …) rows have keywords that the client hasn't heard of."""
        limit = 1 << (KEYWORD_SHIFT + len(self.flags.keywords.names))
        return max(map(_FLAGS, rows), default=0) >= limit

    def known_flags(self) -> bytes:
        """Return the FLAGS and PERMANENTFLAGS responses."""
        permanent = b"()" if self.read_only else self.flags.render_permanent(self.settable)
        return response.flags(self.flags.render_known()) + response.untagged_status(
            response.Condition.OK, b"Flags that can be changed", response.code_permanentflags(permanent)
        )

    def compare(self, found: messages.Selected) -> None:
        """Note expunges that the mailbox no longer remembers: whatever isn't there is gone."""
        gone = subtract(tuple(self.view.ranges()), found.uids)
        self.view.expunge(gone)
        self._hold(self.modseq + 1)

    def report(
        self,
        changes: Changes,
        *,
        with_expunges: bool,
        with_uid: bool = False,
        with_flags: bool = True,
        enabled: Extension = Extension.NONE,
        has_recent: bool = False,
    ) -> Iterator[bytes]:
        r"""Take changes and yield the responses that tell the client of them.

        Flags come in the order in which they changed: a client that is cut off has missed the latest only.
        `has_recent`: some messages have become \Recent in this session; the number is also told when such ones went.
        """
        added: list[int] = []
        if changes.keywords is not None:
            learned = self.learn(changes.keywords)
            if learned:
                yield learned
            added = self._sort(changes.rows)
        if with_expunges:
            recent = self._recent() if self.view.has_expunged else 0
            yield from self._expunged(enabled)
            has_recent = has_recent or bool(recent and self._recent() != recent)
        changed = self._changed(changes.rows) if self._tells_flags(with_flags) else ()
        if added:
            yield response.exists(self.view.append(added))
        if has_recent:
            yield self.recent_line()
        if changed:
            yield from _joined(lambda rows: self.render_flags(rows, with_uid=with_uid, enabled=enabled), changed)
        self.modseq = max(self.modseq, changes.modseq)
        self._own.clear()

    def _recent(self) -> int:
        return count(known_of(self.view, self.flags.recent)) if self.flags.recent else 0

    def _tells_flags(self, wanted: bool) -> bool:
        if wanted:
            self._flags_from = 0
        else:
            self._flags_from = self._flags_from or self.modseq
        return wanted

    def highest(self, *, only_held: bool = False) -> int | None:
        """Return up to which mod-sequence the client has been told everything, None if it knows that.

        While an expunge is held back that is below it, whatever FETCH has shown (RFC 7162 §3.2.4); `only_held`:
        None otherwise.
        """
        if self.view.has_expunged and self._held_from:
            self._told = 0
            return self._held_from - 1
        if only_held or self._told == self.modseq or self._flags_from:
            return None
        self._told = self.modseq
        return self.modseq

    def not_followed(self) -> None:
        """Note that the mailbox couldn't be asked: what FETCH showed may be newer than what was told."""
        self._told = 0

    def render_flags(
        self,
        rows: Sequence[Any],
        *,
        with_uid: bool = False,
        with_flags: bool = True,
        enabled: Extension = Extension.NONE,
    ) -> bytes:
        """Return a FETCH response for each (uid, flags, modseq, …) row that the client knows."""
        sequence = self.view.sequence
        known = [(number, row) for row in rows if (number := sequence(row[0])) is not None]
        if not known:
            return b""
        columns: list[Iterable[Any]] = [[number for number, _ in known]]
        items: list[bytes] = []
        head = b"* %d FETCH ("
        if Extension.UIDONLY in enabled:
            head, columns = b"* %d UIDFETCH (", [[row[0] for _, row in known]]
        elif with_uid or enabled & WITH_UID:
            items.append(b"UID %d")
            columns.append([row[0] for _, row in known])
        if with_flags:
            items.append(b"FLAGS %b")
            columns.append(self.flags.render_all([row[0] for _, row in known], [row[1] for _, row in known]))
        if Extension.CONDSTORE in enabled:
            items.append(b"MODSEQ (%d)")
            columns.append([row[2] for _, row in known])
        template = head + b" ".join(items) + response.FETCH_END
        return b"".join(map(template.__mod__, zip(*columns, strict=True)))

    def _expunged(self, enabled: Extension) -> Iterator[bytes]:
        self._held_from = 0
        if enabled & WITH_VANISHED:
            yield from _joined(response.vanished, self.view.take_expunged_uids())
        else:
            yield from _joined(response.expunges, self.view.take_expunged())

    def _sort(self, rows: Sequence[Any]) -> list[int]:
        """Note expunges; return the UIDs that are new."""
        last = self.view.largest_uid
        gone = [row for row in rows if row[3] is not None and row[0] in self.view]
        if gone:
            self.view.expunge(in_order([row[0] for row in gone]))
            self._hold(min(map(_MODSEQ, gone)))
        return [row[0] for row in rows if row[3] is None and row[0] > last]

    def _hold(self, modseq: int) -> None:
        self._held_from = min(self._held_from or modseq, modseq)

    def _changed(self, rows: Sequence[Any]) -> list[Any]:
        view = self.view
        changed = [row for row in rows if row[3] is None and row[2] not in self._own and row[0] in view]
        changed.sort(key=_MODSEQ)
        return changed


def known_of(view: View, ranges: Sequence[Range]) -> tuple[Range, ...]:
    """Return the part of UID ranges that the client knows."""
    return intersect(ranges, tuple(view.ranges()))


def vanished_lines(uids: Sequence[Range], *, earlier: bool = False) -> Iterator[bytes]:
    """Yield VANISHED responses, none of them too long a line."""
    return _joined(lambda ranges: response.vanished(ranges, earlier=earlier), uids)


def _joined(render: Callable[[Any], bytes], items: Sequence[Any]) -> Iterator[bytes]:
    for start in range(0, len(items), REPORT_LINES):
        yield render(items[start : start + REPORT_LINES])
