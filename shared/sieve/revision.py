"""A message with the changes that a script made to it, written out only when somebody asks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from shared.message.header import find_header_end, iterate_fields
from shared.message.octets import cut

if TYPE_CHECKING:
    from shared.message.octets import Octets
    from shared.sieve.actions import Edit


class Splice(NamedTuple):
    """New octets for data[start:end]."""

    start: int
    end: int
    octets: bytes


class HeaderLine(NamedTuple):
    """One field as it stands, its line end included; lines that are no field have the name b""."""

    name: bytes
    value: bytes
    raw: bytes


@dataclass(frozen=True, slots=True)
class Revision:
    """A state of the message: the octets it began with, its header lines if they changed, parts to be replaced.

    `edits` tells people and ledgers what was done, in order.
    """

    data: Octets
    lines: tuple[HeaderLine, ...] | None = None
    splices: tuple[Splice, ...] = ()
    edits: tuple[Edit, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether it isn't the message that came in."""
        return bool(self.edits)

    def header_lines(self) -> tuple[HeaderLine, ...]:
        """The lines of the header, the empty one apart."""
        if self.lines is not None:
            return self.lines
        end = find_header_end(self.data)
        return split_header(cut(self.data, 0, end))

    def render(self) -> bytes:
        """The message's octets."""
        if self.lines is None and not self.splices:
            return bytes(self.data)
        body_start = find_header_end(self.data)
        if self.lines is None:
            pieces = [cut(self.data, 0, body_start)]
        else:
            pieces = [line.raw for line in self.lines] + [b"\r\n"]
        at = body_start
        for splice in _outermost(self.splices):
            pieces += [cut(self.data, at, splice.start), splice.octets]
            at = splice.end
        pieces.append(cut(self.data, at, len(self.data)))
        return b"".join(pieces)

    def with_lines(self, lines: tuple[HeaderLine, ...], edits: tuple[Edit, ...]) -> Revision:
        """The same with another header."""
        return replace(self, lines=lines, edits=self.edits + edits)

    def with_splice(self, splice: Splice, edit: Edit) -> Revision:
        """The same with a part replaced."""
        return replace(self, splices=(*self.splices, splice), edits=(*self.edits, edit))

    def rebased(self, data: bytes, edits: tuple[Edit, ...] = ()) -> Revision:
        """A new message that carries on the list of edits."""
        return Revision(data, edits=self.edits + edits)


def split_header(block: bytes) -> tuple[HeaderLine, ...]:
    """Every line of a header block, what is no field too, so that joining them gives the block less its empty line."""
    lines, at, last = list[HeaderLine](), 0, len(block)
    if block.endswith(b"\r\n\r\n") or block == b"\r\n":
        last -= 2
    elif block.endswith(b"\n\n") or block == b"\n":
        last -= 1
    for field in iterate_fields(block, 0, last):
        if field.start > at:
            lines.append(HeaderLine(b"", b"", block[at : field.start]))
        lines.append(HeaderLine(field.name, field.value, block[field.start : field.end]))
        at = field.end
    if at < last:
        lines.append(HeaderLine(b"", b"", block[at:last]))
    if lines and not lines[-1].raw.endswith(b"\n"):
        lines[-1] = lines[-1]._replace(raw=lines[-1].raw.removesuffix(b"\r") + b"\r\n")
    return tuple(lines)


def _outermost(splices: tuple[Splice, ...]) -> list[Splice]:
    """In order of place, without those that lie in another; the later of two for the same place."""
    latest = {(splice.start, splice.end): splice for splice in splices}
    kept = list[Splice]()
    for splice in sorted(latest.values(), key=lambda s: (s.start, -s.end)):
        if not kept or splice.start >= kept[-1].end:
            kept.append(splice)
    return kept
