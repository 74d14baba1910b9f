"""What a Python filter is written with: a file in the folder of filters, with one function.

    from shared.filters.api import Actions, Context, Message

    async def filter(message: Message, context: Context) -> Actions:
        if "invoice" in message.subject.lower():
            return Actions().file_into("Invoices", create=True)
        return Actions()

No actions: the next filter, then the account's Sieve scripts decide. `file_into`, `redirect`, `discard`, `reject`
and `keep` decide for good: neither other filters nor scripts run after them. docs/filters.md has the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from shared.message.addresslist import Kind, parse_addresses
from shared.message.header import Headers, decode_words, find_header_end, parse_headers
from shared.message.structure import Part, parse_structure
from shared.message.text import decode_body, part_text

MAX_ACTIONS = 50  # of one filter for one message
MAX_TEXT = 1_000_000  # characters of Message.text


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part with a file name, or one that isn't text; `data` is decoded."""

    name: str
    media: str  # such as application/pdf
    data: bytes


class Message:
    """A message, as the scanners left it; everything is worked out when it is asked for."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    @property
    def size(self) -> int:
        """Octets."""
        return len(self.data)

    def header(self, name: str) -> str:
        """The first field of a name, decoded; "" if there is none."""
        value = self._headers.get(name.lower().encode("ascii", "replace"))
        return "" if value is None else decode_words(value)

    def headers(self, name: str) -> list[str]:
        """All fields of a name, decoded."""
        return [decode_words(value) for value in self._headers.get_all(name.lower().encode("ascii", "replace"))]

    def addresses(self, name: str) -> list[str]:
        """The addresses in all fields of a name (From, To, Cc, …), without display names."""
        values = self._headers.get_all(name.lower().encode("ascii", "replace"))
        return [
            f"{one.mailbox.decode('utf-8', 'replace')}@{one.host.decode('utf-8', 'replace')}"
            for value in values
            for one in parse_addresses(value)
            if one.kind is Kind.MAILBOX and one.mailbox and one.host
        ]

    @property
    def subject(self) -> str:
        """Subject, decoded."""
        return self.header("subject")

    @property
    def sender(self) -> str:
        """The first address of From, "" if there is none."""
        return next(iter(self.addresses("from")), "")

    @cached_property
    def text(self) -> str:
        """All text/plain parts that aren't attachments (text/html, if there are none), decoded."""
        parts = [part for part in self._parts() if not _file_name(part)]
        for media in ("text/plain", "text/html"):
            texts = [part_text(self.data, part, MAX_TEXT) for part in parts if _media(part) == media]
            if texts:
                return "\n".join(texts)[:MAX_TEXT]
        return ""

    @cached_property
    def attachments(self) -> list[Attachment]:
        """Parts with a file name, and all that aren't text."""
        return [
            Attachment(_file_name(part), _media(part), _decoded(self.data, part))
            for part in self._parts()
            if _file_name(part) or not _media(part).startswith("text/")
        ]

    @cached_property
    def _headers(self) -> Headers:
        return parse_headers(self.data[: find_header_end(self.data)])

    def _parts(self) -> Iterator[Part]:
        yield from _leaves(parse_structure(self.data))


@dataclass(frozen=True, slots=True)
class Context:
    """What is known beside the message."""

    entry: str  # its id, as `packetboat trace` knows it
    sender: str  # the envelope's; "" for bounces
    recipient: str  # the address that it came to
    account: str  # whose mailbox it leads to
    ip: str = ""  # who sent it
    helo: str = ""
    spam_percent: float | None = None  # 50 and more is spam; None when nobody looked
    virus: str = ""  # the name of one that was found
    now: datetime = field(default_factory=lambda: datetime.now().astimezone())


@dataclass(frozen=True, slots=True)
class Actions:
    """What is to be done; every method returns it with one more."""

    done: tuple[dict[str, Any], ...] = ()

    def keep(self, *flags: str) -> Actions:
        """Put it into INBOX, whatever the scripts would say; `flags` as in IMAP, such as r"\\Seen"."""
        return self._with("keep", flags=list(flags))

    def file_into(self, mailbox: str, *flags: str, create: bool = False, copy: bool = False) -> Actions:
        """Put it into a mailbox (INBOX, if there is none of that name and it isn't to be made)."""
        return self._with("fileinto", mailbox=mailbox, flags=list(flags), create=create, copy=copy)

    def redirect(self, address: str, *, copy: bool = False) -> Actions:
        """Send it on; with `copy` it also stays."""
        return self._with("redirect", address=address, copy=copy)

    def discard(self) -> Actions:
        """Throw it away; the ledger says so."""
        return self._with("discard")

    def reject(self, reason: str) -> Actions:
        """Send it back with a reason: only for senders who are certain."""
        return self._with("reject", reason=reason)

    def junk(self, reason: str = "", score: float | None = None) -> Actions:
        """Say that it is spam: it goes to Junk, unless a script says otherwise."""
        return self._with("junk", reason=reason, score=score)

    def quarantine(self, reason: str) -> Actions:
        """Keep it back for the operator (`packetboat quarantine list`)."""
        return self._with("quarantine", reason=reason)

    def add_header(self, name: str, value: str) -> Actions:
        """Add a field to the recipient's copy, at the top."""
        return self._with("addheader", name=name, value=value)

    def _with(self, what: str, **values: Any) -> Actions:
        if len(self.done) >= MAX_ACTIONS:
            raise ValueError(f"more than {MAX_ACTIONS} actions")
        return Actions((*self.done, {"do": what, **values}))


FINAL = frozenset({"keep", "fileinto", "redirect", "discard", "reject"})
"""Actions after which nobody else is asked."""


def _leaves(part: Part) -> Iterator[Part]:
    return (one for one in part.walk() if not one.children)


def _media(part: Part) -> str:
    return f"{part.media.type.decode('ascii', 'replace')}/{part.media.subtype.decode('ascii', 'replace')}".lower()


def _file_name(part: Part) -> str:
    return part.filename or ""


def _decoded(data: bytes, part: Part) -> bytes:
    return decode_body(data[part.body_start : part.body_end], part.encoding)
