"""What a server offers in its reply to EHLO or LHLO (RFC 5321 §4.1.1.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from shared.smtp.reply import Reply

MAX_SIZE_DIGITS = 20  # RFC 1870 §3
MAX_BY_DIGITS = 9  # RFC 2852 §3


@dataclass(frozen=True, slots=True)
class Extensions:
    """The keywords with their parameters; keywords are in upper case."""

    keywords: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __contains__(self, keyword: str) -> bool:
        return keyword in self.keywords

    @property
    def max_size(self) -> int:
        """The largest message in octets (RFC 1870), 0 if the server names none."""
        parameters = self.keywords.get("SIZE", ())
        text = parameters[0] if parameters else ""
        return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_SIZE_DIGITS else 0

    @property
    def min_by_time(self) -> int:
        """The least time for delivery that a host takes over (RFC 2852 §3), 0 if it names none; seconds."""
        parameters = self.keywords.get("DELIVERBY", ())
        text = parameters[0] if parameters else ""
        return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_BY_DIGITS else 0

    @property
    def mechanisms(self) -> frozenset[str]:
        """The AUTH mechanisms (RFC 4954), in upper case."""
        return frozenset(name.upper() for name in self.keywords.get("AUTH", ()))


def parse_extensions(reply: Reply) -> Extensions:
    """Read a positive EHLO reply; the first line is the server's name."""
    return Extensions(dict(_keywords(reply.lines[1:])))


def _keywords(lines: Iterable[str]) -> Iterable[tuple[str, tuple[str, ...]]]:
    for line in lines:
        # "AUTH=LOGIN" is what old servers for old clients say
        words = line.replace("=", " ", 1).split() if line[:5].upper() == "AUTH=" else line.split()
        if words:
            yield words[0].upper(), tuple(words[1:])
