"""What a client believes of its mailbox, taken from responses alone, and the promises they must keep.

UIDs ascend and are never given again, mod-sequences never go back, EXISTS shrinks by EXPUNGE only, no
EXPUNGE comes where sequence numbers are in use, and what a session says it has told was told.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

from tests.tools.imap_client import Status, Value, kind_of, numbers_of, pairs_of

NUMBERS_IN_USE = (b"FETCH", b"STORE", b"SEARCH", b"SORT", b"THREAD")
UNKNOWN = 0  # the UID of a message that was only counted so far


class BrokenPromise(AssertionError):
    """A response that can't be, after those before it."""


@dataclass(slots=True)
class Known:
    """One message: flags as the server last told them, and the mod-sequence that came with them."""

    flags: frozenset[bytes] | None = None
    modseq: int = 0


@dataclass(slots=True)
class MailboxModel:
    """The model; `highest` is up to where the client has been told everything (CONDSTORE, QRESYNC)."""

    uidvalidity: int = 0
    uidnext: int = 0
    highest: int = 0
    uids: list[int] = field(default_factory=list)
    messages: dict[int, Known] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)
    sure: dict[int, dict[bytes, bool]] = field(default_factory=dict)  # flags that only this client changes
    with_qresync: bool = False
    with_condstore: bool = False
    checks: int = 0  # FETCH responses that were compared with what had been told before
    counted: int = 0  # messages that EXISTS has added so far
    known_up_to: int = 0  # by the session before: every message up to this UID had been named
    is_resyncing: bool = False  # SELECT's HIGHESTMODSEQ counts once everything before it has come
    with_flags: set[int] = field(default_factory=set)  # whose FLAGS came under the command in progress
    without_flags: set[int] = field(default_factory=set)  # … and whose mod-sequences alone
    _is_told: bool = False  # the command in progress has told HIGHESTMODSEQ itself
    _newest: int = 0  # the highest mod-sequence shown since the last tagged response

    def copy(self) -> MailboxModel:
        """A client that goes its own way from here."""
        return copy.deepcopy(self)

    # A session begins

    def begin_session(self, *, condstore: bool = False, qresync: bool = False) -> None:
        """Before SELECT: sequence numbers of earlier sessions mean nothing any more."""
        if not self.is_resyncing:
            self.known_up_to = self.last_before_unknown()
        for uid in self.without_flags:  # the command that they changed under was never answered
            self.is_unsure(uid)
        self.without_flags.clear()
        self.with_flags.clear()
        self.uids = []
        self._newest = 0
        self.with_condstore, self.with_qresync = condstore, qresync
        self.is_resyncing = True

    def last_before_unknown(self) -> int:
        """The UID up to which no message was only counted."""
        named = self.uids[: self.uids.index(UNKNOWN)] if UNKNOWN in self.uids else self.uids
        return max(named, default=0)

    def resynced(self, uidvalidity: int, uidnext: int, highest: int) -> None:
        """Take what SELECT told, once the client has brought itself up to that point."""
        if self.uidvalidity not in (0, uidvalidity):
            raise BrokenPromise("UIDVALIDITY changed")
        if uidnext < self.uidnext:
            raise BrokenPromise(f"UIDNEXT went back from {self.uidnext} to {uidnext}")
        if highest < self.highest:
            raise BrokenPromise(f"HIGHESTMODSEQ went back from {self.highest} to {highest}")
        self.uidvalidity, self.uidnext, self.highest = uidvalidity, uidnext, highest
        self.is_resyncing = False

    def number(self, uids: list[int], later: int = 0) -> None:
        """Take the UIDs of all sequence numbers but the `later` ones; other messages are gone.

        Those of which nothing else is known are still to be fetched.
        """
        if sorted(set(uids)) != uids:
            raise BrokenPromise("UIDs don't ascend")
        if len(uids) + later != len(self.uids):
            raise BrokenPromise(f"{len(uids)} messages by their UIDs, {len(self.uids)} by their numbers")
        for place, uid in enumerate(uids):
            if uid in self.messages:
                self._name(place, uid)
        for uid in self.messages.keys() - set(uids):
            self._forget(uid)

    # Responses

    def take(self, response: list[Value] | Status, command: bytes) -> None:
        """Take an untagged response that came under a command (`b""`: under none)."""
        if isinstance(response, Status):
            self.told(response)
            return
        match kind_of(response):
            case b"EXISTS":
                self._exists(response[0])
            case b"EXPUNGE":
                self._expunge(response[0], command)
            case b"VANISHED":
                self._vanished(response, command)
            case b"FETCH":
                self._fetch(response[0], pairs_of(response[2]))

    def told(self, status: Status) -> None:
        """Take a status response: HIGHESTMODSEQ may be lower than what was shown, not than what was told."""
        highest = status.code_number(b"HIGHESTMODSEQ")
        if highest is not None and self.with_condstore and not self.is_resyncing:
            self.highest = max(self.highest, highest)
            self._is_told = True

    def completed(self, status: Status) -> None:
        """Take a command's end: a CONDSTORE client now knows everything up to the highest that it saw."""
        self.told(status)
        self.with_flags.clear()
        self.without_flags.clear()
        if self.with_condstore and not self.with_qresync and not self.is_resyncing and not self._is_told:
            self.highest = max(self.highest, self._newest)
        self._is_told = False

    def _exists(self, count: int) -> None:
        if count < len(self.uids):
            raise BrokenPromise(f"EXISTS fell from {len(self.uids)} to {count}")
        self.counted += count - len(self.uids)
        self.uids += [UNKNOWN] * (count - len(self.uids))

    def _expunge(self, number: int, command: bytes) -> None:
        if self.with_qresync:
            raise BrokenPromise("EXPUNGE although QRESYNC is enabled")
        self._may_remove(command)
        if not 1 <= number <= len(self.uids):
            raise BrokenPromise(f"EXPUNGE {number} of {len(self.uids)}")
        self._forget(self.uids.pop(number - 1))

    def _vanished(self, response: list[Value], command: bytes) -> None:
        if not self.with_qresync:
            raise BrokenPromise("VANISHED although QRESYNC isn't enabled")
        earlier = response[1] == [b"EARLIER"]
        uids = numbers_of(response[2] if earlier else response[1])
        if not earlier:
            self._may_remove(command)
        for uid in uids:
            if earlier and uid in self.uids:
                raise BrokenPromise(f"VANISHED (EARLIER) {uid}, which is in the mailbox")
            if not earlier:
                self._drop(uid)
            self._forget(uid)

    def _drop(self, uid: int) -> None:
        """Remove a message, or one that was only counted and lies where this one must."""
        place = 0
        for place_of_named, named in enumerate(self.uids):
            if named == uid:
                del self.uids[place_of_named]
                return
            if named and named < uid:
                place = place_of_named + 1
        if place >= len(self.uids) or self.uids[place] != UNKNOWN:
            raise BrokenPromise(f"VANISHED {uid}, which wasn't there")
        del self.uids[place]

    def _forget(self, uid: int) -> None:
        if uid:
            self.messages.pop(uid, None)
            self.sure.pop(uid, None)
            self.gone.add(uid)

    @staticmethod
    def _may_remove(command: bytes) -> None:
        name = command.split(b" ")[0].upper()
        if name in NUMBERS_IN_USE or not name:
            raise BrokenPromise(f"a removal during {command[:60]!r}")

    def _fetch(self, number: int, items: dict[bytes, Value]) -> None:
        uid = items.get(b"UID", UNKNOWN)
        if self.uids:
            uid = self._named(number, uid)
        if not uid:
            return
        flags = items.get(b"FLAGS")
        modseq = items[b"MODSEQ"][0] if b"MODSEQ" in items else 0
        self._learn(uid, None if flags is None else frozenset(flags) - {b"\\Recent"}, modseq)  # a session's own

    def _named(self, number: int, uid: int) -> int:
        if not 1 <= number <= len(self.uids):
            raise BrokenPromise(f"FETCH of {number}, there are {len(self.uids)}")
        if uid:
            self._name(number - 1, uid)
        return self.uids[number - 1]

    def _name(self, place: int, uid: int) -> None:
        known = self.uids[place]
        if known == uid:
            return
        if known:
            raise BrokenPromise(f"number {place + 1} was UID {known}, now {uid}")
        if uid in self.gone:
            raise BrokenPromise(f"UID {uid} was gone, and is back")
        before = next((other for other in reversed(self.uids[:place]) if other), 0)
        after = next((other for other in self.uids[place + 1 :] if other), 1 << 32)
        if not before < uid < after:
            raise BrokenPromise(f"UID {uid} between {before} and {after}")
        self.uids[place] = uid

    def _learn(self, uid: int, flags: frozenset[bytes] | None, modseq: int) -> None:
        known = self.messages.setdefault(uid, Known())
        if modseq:
            if modseq < known.modseq:
                raise BrokenPromise(f"UID {uid}: mod-sequence went back from {known.modseq} to {modseq}")
            self._newest = max(self._newest, modseq)
        if flags is not None:
            self._compare(uid, known, flags, modseq)
            known.flags, known.modseq = flags, modseq
            self.with_flags.add(uid)
        elif modseq != known.modseq:
            self.without_flags.add(uid)
        known.modseq = modseq or known.modseq

    def _compare(self, uid: int, known: Known, flags: frozenset[bytes], modseq: int) -> None:
        self.checks += 1
        if modseq and modseq == known.modseq and known.flags not in (None, flags):
            raise BrokenPromise(f"UID {uid}: other flags under the same mod-sequence {modseq}")
        if modseq and known.flags is not None and 0 < known.modseq < modseq <= self.highest:
            raise BrokenPromise(f"UID {uid}: {modseq} wasn't told, though all up to {self.highest} was")
        for flag, is_set in self.sure.get(uid, {}).items():
            if (flag in flags) is not is_set:
                raise BrokenPromise(f"UID {uid}: {flag!r} should be {is_set}, nobody else changes it: {flags}")

    # What the client does itself

    def will_change(self, uid: int, flag: bytes) -> None:
        """Note that nothing is sure of a flag until the command is answered."""
        self.sure.get(uid, {}).pop(flag, None)

    def has_changed(self, uid: int, flag: bytes, is_set: bool) -> None:
        """Note what a command that succeeded did to a flag that only this client changes."""
        if uid in self.messages:
            self.sure.setdefault(uid, {})[flag] = is_set

    def is_unsure(self, uid: int) -> None:
        """Note that the flags of a message aren't known any more."""
        if uid in self.messages:
            self.messages[uid].flags = None

    def stored_silently(self, uid: int, flags: frozenset[bytes], *, add: bool) -> None:
        """Change the flags of a message as STORE with SILENT did, unless the server told them after all."""
        known = self.messages.get(uid)
        if known is not None and known.flags is not None and uid not in self.with_flags:
            known.flags = known.flags | flags if add else known.flags - flags

    def state(self) -> dict[int, tuple[frozenset[bytes] | None, int]]:
        """All messages with flags and mod-sequence, to be compared."""
        return {uid: (known.flags, known.modseq) for uid, known in self.messages.items()}
