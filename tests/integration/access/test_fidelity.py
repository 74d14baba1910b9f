"""What IMAP tells of messages is what Dovecot tells, but for the differences that docs/imap-fidelity.md explains."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.accounts import ACCOUNTS, PASSWORD
from tests.bench.peers.dovecot import Dovecot, MailFormat
from tests.e2e.programs import needs
from tests.integration.access.conftest import ALICE, PASSWORDS, RunningAccess
from tests.tools.fidelity import Server, compare
from tests.tools.odd_messages import corpus

LEAST = 300  # messages
DOCUMENT = Path(__file__).parents[3] / "docs/imap-fidelity.md"

# Messages of tests.tools.odd_messages in which something is told otherwise, by the reasons that the document gives
KEPT = {
    "no media type": (
        "type 11: 'text/plain charset=utf-8'",
        "type 12: 'text/plain, charset=utf-8'",
        "type 16: 'text/'",
        "type 17: '/plain'",
        "type 18: 'text'",
        "type 19: ''",
        "type 20: '   '",
        "type 21: 'text/plain/x'",
        "type 59: 'text/pl ain'",
        "type 60: 'text\\\\plain'",
        "type 61: '<text/plain>'",
        "type 62: '\"text/plain\"'",
        "structure: cut off in a header",
        *(f"random {number}" for number in (1, 11, 24, 35, 55, 57, 72)),
    ),
    "parameters": (
        "type 5: 'text/plain;; charset=utf-8'",
        "type 8: 'text/plain; =utf-8'",
        "type 10: 'text/plain; charset=utf-8 format=flowed'",
        "type 26: 'application/octet-stream; name=a b.bin'",
        "type 38: 'application/octet-stream; name=\"unclosed'",
        "type 42: \"audio/x-wav; name='a b'\"",
        "type 56: 'text/html; charset=iso-8859-1; =; ;'",
        "part: a file name without quotes",
        "inner part: a file name without quotes",
        "structure: a boundary without quotes",
    ),
    "dispositions and languages": (
        "part: an empty disposition",
        "inner part: an empty disposition",
        "part: a disposition without kind",
        "inner part: a disposition without kind",
        "part: odd languages",
        "inner part: odd languages",
    ),
    "no parts": (
        "type 48: 'multipart/mixed'",
        "type 49: 'multipart/mixed; boundary='",
        "type 50: 'multipart/mixed; boundary=\"\"'",
        "type 51: 'multipart/mixed; boundary=never'",
        "structure: no parts",
        "structure: no parts, no end",
        "structure: a boundary right after the header",
        "structure: a boundary in the header's end",
        "structure: a nested multipart without boundary",
        "random 3",
    ),
    "delimiter lines": (
        "structure: a prefix of the boundary",
        "structure: the same boundary inside",
        "structure: text after the boundary",
        "structure: a boundary of 200",
        "random 48",
    ),
    "ends of parts": (
        "structure: the outer boundary ends the inner",
        *(f"random {number}" for number in (4, 38, 66, 77)),
    ),
    "CR CR LF": ("header: CR at a line's end", "structure: CR before the boundary"),
}
NAMES = {name for names in KEPT.values() for name in names}


@pytest.fixture
def dovecot() -> Iterator[Dovecot]:
    """Debian's Dovecot, on a port of its own."""
    needs("dovecot")
    if os.getuid() != 0:
        pytest.skip("needs root: Dovecot gives up rights that only root has")
    with tempfile.TemporaryDirectory(prefix="fidelity-") as work:
        Path(work).chmod(0o755)  # its processes run as others than root
        peer = Dovecot(Path(work), MailFormat.MAILDIR)
        peer.start()
        try:
            yield peer
        finally:
            peer.stop()


def test_the_document_explains_every_reason() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert [reason for reason in KEPT if f"**{reason}**" not in text] == []


def test_everything_is_as_dovecot_tells_it(access: RunningAccess, dovecot: Dovecot) -> None:
    messages = dict(corpus())
    assert len(messages) >= LEAST
    ours = Server(access.imap, ALICE, PASSWORDS[ALICE], "Fidelity")
    theirs = Server(dovecot.imap[1], ACCOUNTS[0], PASSWORD, "Fidelity")
    ours.fill(messages.values())
    theirs.fill(messages.values())
    found = list(compare(ours, theirs, messages))
    assert [str(difference) for difference in found if difference.name not in NAMES] == []
    assert {difference.name for difference in found} == NAMES  # none is listed that is gone
    assert not [str(difference) for difference in found if difference.item.startswith("ENVELOPE")]
