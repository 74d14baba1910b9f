"""Compare what was acknowledged with what arrived: in mailboxes over IMAP, or at a sink."""

from __future__ import annotations

import imaplib
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from tests.tools.sink import SinkMessage
from tests.tools.smtp_load import ID_FIELD

POLL_SECONDS = 0.25
_ID = re.compile(rb"(?im)^" + ID_FIELD.encode() + rb":[ \t]*([^\r\n]+)")


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The difference between acknowledged ids and how often each arrived."""

    acknowledged: int
    missing: tuple[str, ...]
    repeats: int  # arrivals beyond the first of each id
    unacknowledged: tuple[str, ...]  # arrived although no 250 was seen: allowed, a reply was lost

    @property
    def complete(self) -> bool:
        """Every acknowledged id arrived at least once."""
        return not self.missing

    @property
    def exactly_once(self) -> bool:
        """Every acknowledged id arrived, none twice."""
        return self.complete and self.repeats == 0

    def __str__(self) -> str:
        return (
            f"{self.acknowledged} acknowledged, {len(self.missing)} missing, {self.repeats} repeated, "
            f"{len(self.unacknowledged)} arrived unacknowledged"
        )


def reconcile(acknowledged: Iterable[str], arrived: Mapping[str, int]) -> Reconciliation:
    """Compare ids that got a 250 with how often each arrived."""
    ids = set(acknowledged)
    return Reconciliation(
        acknowledged=len(ids),
        missing=tuple(sorted(ids - set(arrived))),
        repeats=sum(times - 1 for times in arrived.values()),
        unacknowledged=tuple(sorted(set(arrived) - ids)),
    )


def wait_until_arrived(
    acknowledged: Iterable[str], arrived: Callable[[], Mapping[str, int]], timeout: float = 60.0
) -> Reconciliation:
    """Reconcile again and again until nothing is missing or the time is up; the last result."""
    ids = set(acknowledged)
    deadline = time.monotonic() + timeout
    while True:
        result = reconcile(ids, arrived())
        if result.complete or time.monotonic() > deadline:
            return result
        time.sleep(POLL_SECONDS)


def ids_in_mailbox(imap: imaplib.IMAP4, mailbox: str = "INBOX") -> Counter[str]:
    """How often each load id is in a mailbox of a logged-in connection."""
    status, (count, *_) = imap.select(_quoted(mailbox), readonly=True)
    if status != "OK":
        raise AssertionError(f"SELECT {mailbox}: {count!r}")
    if not int(count or b"0"):
        return Counter()
    status, answers = imap.fetch("1:*", f"(BODY.PEEK[HEADER.FIELDS ({ID_FIELD})])")
    if status != "OK":
        raise AssertionError(f"FETCH: {answers!r}")
    heads = [answer[1] for answer in answers if isinstance(answer, tuple)]
    return Counter(found[1].decode().strip() for head in heads if (found := _ID.search(head)))


def ids_over_imap(
    host: str, port: int, passwords: Mapping[str, str], mailboxes: Iterable[str] = ("INBOX",), *, tls: bool = False
) -> Counter[str]:
    """How often each load id is in these mailboxes of these accounts."""
    found: Counter[str] = Counter()
    for address, password in passwords.items():
        with (imaplib.IMAP4_SSL if tls else imaplib.IMAP4)(host, port) as imap:
            imap.login(address, password)
            for mailbox in mailboxes:
                found += ids_in_mailbox(imap, mailbox)
    return found


def ids_at_sink(messages: Iterable[SinkMessage]) -> Counter[str]:
    """How often each load id came to a sink."""
    heads = (message.data.partition(b"\r\n\r\n")[0] for message in messages)
    return Counter(found[1].decode().strip() for head in heads if (found := _ID.search(head)))


def _quoted(mailbox: str) -> str:
    return '"' + mailbox.replace("\\", "\\\\").replace('"', '\\"') + '"'
