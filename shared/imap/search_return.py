"""What a client asks a search to return: RETURN and its options (RFC 4731, 5182, 5267, 5465 §7, 6203, 9394)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from shared.imap.fetch import FetchAttribute, parse_fetch_items
from shared.imap.grammar import Scanner, SyntaxFailure
from shared.imap.limits import MAX_CONTEXT_TAGS, MAX_NUMBER, MAX_RETURN_OPTIONS


class ReturnOption(Enum):
    """The options without arguments; the value is the name on the wire."""

    MIN = b"MIN"
    MAX = b"MAX"
    ALL = b"ALL"
    COUNT = b"COUNT"
    SAVE = b"SAVE"
    RELEVANCY = b"RELEVANCY"
    UPDATE = b"UPDATE"
    CONTEXT = b"CONTEXT"


@dataclass(frozen=True, slots=True)
class Partial:
    """A window on a result: places from `first` to `last`, from 1 on; both below 0 count from the end (RFC 9394)."""

    first: int
    last: int

    def window(self, count: int) -> tuple[int, int]:
        """Return the slice of a list of `count` results."""
        low, high = sorted((abs(self.first), abs(self.last)))
        if self.first > 0:
            return min(low - 1, count), min(high, count)
        return max(count - high, 0), max(count - low + 1, 0)

    def render(self) -> bytes:
        """Return it with the end that it counts from first: 4:2 is the same as 2:4 (RFC 5267 §4.4)."""
        return b"%d:%d" % tuple(sorted((self.first, self.last), key=abs))


@dataclass(frozen=True, slots=True)
class Return:
    """A RETURN clause; without any option it asks for ALL (RFC 4731 §3.1)."""

    options: frozenset[ReturnOption] = frozenset((ReturnOption.ALL,))
    partial: Partial | None = None
    items: tuple[FetchAttribute, ...] = ()  # what UPDATE shows of new messages (RFC 5465 §7)

    @property
    def saves_only(self) -> bool:
        """True when nothing is to be sent (RFC 5182 §2.1)."""
        return self.options == {ReturnOption.SAVE} and self.partial is None


def parse_return(scanner: Scanner) -> Return:
    """Read the parentheses after RETURN (RFC 4466 §2.6.1)."""
    options: set[ReturnOption] = set()
    partials: list[Partial] = []
    items: list[FetchAttribute] = []

    def option() -> None:
        name = scanner.atom_keyword()
        if name == b"PARTIAL":
            scanner.space()
            partials.append(parse_partial(scanner))
            return
        try:
            options.add(ReturnOption(name))
        except ValueError:
            raise SyntaxFailure("Unknown RETURN option") from None
        if name == b"UPDATE" and scanner.text.startswith(b" (", scanner.position):
            scanner.space()
            items.extend(parse_fetch_items(scanner))

    scanner.parenthesised(option, MAX_RETURN_OPTIONS, "RETURN options")
    if len(partials) > 1 or (partials and ReturnOption.ALL in options):
        raise SyntaxFailure("Expected one of ALL and PARTIAL, once")
    if options <= {ReturnOption.CONTEXT} and not partials:  # a hint asks for nothing (RFC 5267 §4.2)
        options.add(ReturnOption.ALL)
    return Return(frozenset(options), partials[0] if partials else None, tuple(items))


def parse_partial(scanner: Scanner) -> Partial:
    """Read `1:100` or `-1:-100` (RFC 9394 §3.1)."""
    first = _parse_place(scanner)
    scanner.expect(b":")
    last = _parse_place(scanner)
    if (first > 0) != (last > 0):
        raise SyntaxFailure("PARTIAL counts from one end")
    return Partial(first, last)


def parse_tags(scanner: Scanner) -> tuple[bytes, ...]:
    """Read the quoted tags of CANCELUPDATE (RFC 5267 §4.3.5)."""
    scanner.space()
    tags = [scanner.quoted()]
    while scanner.accept(b" "):
        if len(tags) >= MAX_CONTEXT_TAGS:
            raise SyntaxFailure("Too many tags")
        tags.append(scanner.quoted())
    return tuple(tags)


def _parse_place(scanner: Scanner) -> int:
    sign = -1 if scanner.accept(b"-") else 1
    place = scanner.number(MAX_NUMBER)
    if not place:
        raise SyntaxFailure("PARTIAL counts from 1")
    return sign * place
