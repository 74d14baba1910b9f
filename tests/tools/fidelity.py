"""Puts messages into two IMAP servers and tells what their ENVELOPE, BODYSTRUCTURE, BODY and sections differ in.

python -m tests.tools.fidelity HOST-PORT-OF-OURS HOST-PORT-OF-THE-OTHER      (both: account alice@a.test)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.integration.access.wire import Client
from tests.tools.imap_value import Value, parse_value

MAX_SECTIONS = 400  # of one message that are compared
MAX_ITEMS = 50  # of one FETCH
_ITEMS = ("ENVELOPE", "BODYSTRUCTURE", "BODY", "RFC822.SIZE", "BODY[]", "BODY[HEADER]", "BODY[TEXT]")


@dataclass(frozen=True, slots=True)
class Difference:
    """One item of one message."""

    name: str
    item: str
    ours: Value
    theirs: Value

    def __str__(self) -> str:
        return f"{self.name}\n  {self.item}\n    ours:   {self.ours!r}\n    theirs: {self.theirs!r}"


class Server:
    """An account that is logged in, with a mailbox of its own for the messages."""

    def __init__(self, port: int, user: str, password: str, mailbox: str) -> None:
        self.client = Client(port)
        self.client.greeting = self.client.line()
        self.client.ok(f"LOGIN {user} {password}")
        self.client.ok(f"CREATE {mailbox}")
        self._mailbox = mailbox

    def fill(self, messages: Iterable[bytes]) -> None:
        """Append messages, which get the numbers 1, 2, …, and select their mailbox."""
        for message in messages:
            status = self.client.append(message, self._mailbox)
            assert status.startswith(b"OK"), (status, message)
        self.client.ok(f"SELECT {self._mailbox}")

    def fetch(self, number: int, items: Sequence[str]) -> dict[str, Value]:
        """Fetch items of a message, by their names."""
        if len(items) > MAX_ITEMS:
            return self.fetch(number, items[:MAX_ITEMS]) | self.fetch(number, items[MAX_ITEMS:])
        wanted = " ".join(item.replace("BODY[", "BODY.PEEK[") for item in items)
        lines = self.client.ok(f"FETCH {number} ({wanted})")
        [line] = [line for line in lines if b" FETCH (" in line[:30]]
        values, _ = parse_value(line, line.index(b"("))
        assert isinstance(values, list)
        return {bytes(name or b"").decode(): value for name, value in zip(values[::2], values[1::2], strict=True)}  # type: ignore[arg-type]


def compare(ours: Server, theirs: Server, messages: Mapping[str, bytes]) -> Iterator[Difference]:
    """Yield all differences."""
    for number, name in enumerate(messages, 1):
        mine, other = ours.fetch(number, _ITEMS), theirs.fetch(number, _ITEMS)
        for item in _ITEMS:
            yield from differences(name, item, mine[item], other[item])
        names = sections(other["BODYSTRUCTURE"])
        if names:
            mine, other = ours.fetch(number, names), theirs.fetch(number, names)
            for item in names:
                if mine[item] != other[item]:
                    yield Difference(name, item, mine[item], other[item])


_PLACES = {
    "ENVELOPE": ("date", "subject", "from", "sender", "reply-to", "to", "cc", "bcc", "in-reply-to", "message-id"),
}


def differences(name: str, item: str, ours: Value, theirs: Value) -> Iterator[Difference]:
    """Yield where two values differ: for an envelope by its field."""
    if ours == theirs:
        return
    places = _PLACES.get(item)
    if places and isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs) == len(places):
        for place, mine, other in zip(places, ours, theirs, strict=True):
            if mine != other:
                yield Difference(name, f"{item} {place}", mine, other)
    else:
        yield Difference(name, item, ours, theirs)


def sections(structure: Value, path: tuple[int, ...] = ()) -> list[str]:
    """The names of all sections of a message with this BODYSTRUCTURE."""
    found: list[str] = []
    _walk(structure, path, found)
    return found[:MAX_SECTIONS]


def _walk(structure: Value, path: tuple[int, ...], found: list[str]) -> None:
    assert isinstance(structure, list)
    if structure and isinstance(structure[0], list):
        children = [child for child in structure if isinstance(child, list)]
        count = next(index for index, child in enumerate(structure) if not isinstance(child, list))
        for number, child in enumerate(children[:count], 1):
            _name(child, (*path, number), found)
    elif not path:
        _name(structure, (1,), found)


def _name(part: Value, path: tuple[int, ...], found: list[str]) -> None:
    number = ".".join(map(str, path))
    found += [f"BODY[{number}]", f"BODY[{number}.MIME]"]
    assert isinstance(part, list)
    if part and isinstance(part[0], list):
        _walk(part, path, found)
    elif [word.lower() for word in part[:2] if isinstance(word, bytes)] == [b"message", b"rfc822"]:
        found += [f"BODY[{number}.HEADER]", f"BODY[{number}.TEXT]"]
        inner = part[8] if len(part) > 8 else None
        if isinstance(inner, list):
            if inner and isinstance(inner[0], list):
                _walk(inner, path, found)
            else:
                _name(inner, (*path, 1), found)
