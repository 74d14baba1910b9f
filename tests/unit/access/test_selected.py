"""What a session knows of its mailbox after it moved messages out of it."""

from __future__ import annotations

import pytest

from services.access.imap.selected import Selected
from shared.imap.flags import Keywords
from shared.mailbox import messages
from shared.mailbox.mailbox import Mailbox
from shared.mailbox.messages import Changes

NOW = 1_000


def _selected(modseq: int = NOW) -> Selected:
    mailbox = Mailbox(1, 1, "INBOX", 1, 6, modseq, 5, 0, 0, 500, "", 0)
    return Selected(messages.Selected(mailbox, Keywords(), ((1, 5),), 0), read_only=False)


def _report(selected: Selected, modseq: int) -> bytes:
    mailbox = Mailbox(1, 1, "INBOX", 1, 6, modseq, 3, 0, 0, 300, "", 0)
    return b"".join(selected.report(Changes(mailbox, None, [], True), with_expunges=True, with_uid=False))


def test_messages_that_went_are_reported_without_asking() -> None:
    selected = _selected()
    selected.lost((2, 4), NOW, NOW + 1)
    assert selected.modseq == NOW + 1
    assert _report(selected, NOW + 1) == b"* 4 EXPUNGE\r\n* 2 EXPUNGE\r\n"
    assert list(selected.view.ranges()) == [(1, 1), (3, 3), (5, 5)]


@pytest.mark.parametrize("before", [NOW + 7, 0])
def test_whatever_else_happened_has_to_be_asked_for(before: int) -> None:
    selected = _selected()
    selected.lost((2, 4), before, NOW + 9)
    assert selected.modseq == NOW
    assert not selected.view.has_expunged
