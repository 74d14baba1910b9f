"""The messages of one session, their numbers, and which are marked as deleted (RFC 1939 §4-§6)."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator

FOLLOWING = 32  # messages that may be asked for ahead


class NoSuchMessage(ValueError):
    """No message has the number, or it is marked as deleted: answer -ERR."""


class Maildrop:
    """Message numbers from 1 in the order given; 12 octets a message."""

    def __init__(self, messages: Iterable[tuple[int, int]]) -> None:
        """Take (UID, size in octets) pairs."""
        self._uids = array("I")
        self._sizes = array("Q")
        for uid, size in messages:
            self._uids.append(uid)
            self._sizes.append(size)
        self._deleted: set[int] = set()
        self._octets = sum(self._sizes)

    @property
    def count(self) -> int:
        """Messages that aren't deleted."""
        return len(self._uids) - len(self._deleted)

    @property
    def octets(self) -> int:
        """The size of the messages that aren't deleted."""
        return self._octets

    def uid(self, number: int) -> int:
        """Return a message's UID; raises NoSuchMessage."""
        self._check(number)
        return self._uids[number - 1]

    def size(self, number: int) -> int:
        """Return a message's size in octets; raises NoSuchMessage."""
        self._check(number)
        return self._sizes[number - 1]

    def sizes(self) -> Iterator[tuple[int, int]]:
        """Yield (number, size) of the messages that aren't deleted."""
        return ((n, size) for n, size in enumerate(self._sizes, 1) if n not in self._deleted)

    def uids(self) -> Iterator[tuple[int, int]]:
        """Yield (number, UID) of the messages that aren't deleted."""
        return ((n, uid) for n, uid in enumerate(self._uids, 1) if n not in self._deleted)

    def following(self, number: int) -> array[int]:
        """Return a message's UID and those of the messages behind it, deleted or not; raises NoSuchMessage."""
        self._check(number)
        return self._uids[number - 1 : number - 1 + FOLLOWING]

    def delete(self, number: int) -> None:
        """Mark a message as deleted; raises NoSuchMessage."""
        self._check(number)
        self._deleted.add(number)
        self._octets -= self._sizes[number - 1]

    def reset(self) -> None:
        """Unmark all messages."""
        self._deleted.clear()
        self._octets = sum(self._sizes)

    def deleted_uids(self) -> list[int]:
        """Return the UIDs to remove in the UPDATE state, ascending by number."""
        return [self._uids[number - 1] for number in sorted(self._deleted)]

    def _check(self, number: int) -> None:
        if not 1 <= number <= len(self._uids) or number in self._deleted:
            raise NoSuchMessage("no such message")
