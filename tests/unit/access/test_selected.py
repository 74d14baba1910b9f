"""What a session knows of its mailbox, and how far its client has been told."""

from __future__ import annotations

import pytest

from services.access.imap.selected import MAX_RECENT_RANGES, Selected
from shared.imap.flags import Keywords
from shared.imap.state import Extension
from shared.mailbox import messages
from shared.mailbox.mailbox import Mailbox
from shared.mailbox.messages import Changes

NOW = 1_000


def _selected(modseq: int = NOW) -> Selected:
    mailbox = Mailbox(1, 1, "INBOX", 1, 6, modseq, 5, 0, 0, 500, "", 0)
    return Selected(messages.Selected(mailbox, Keywords(), ((1, 5),), 0), read_only=False)


def _report(selected: Selected, modseq: int) -> bytes:
    mailbox = Mailbox(1, 1, "INBOX", 1, 6, modseq, 3, 0, 0, 300, "", 0)
    return b"".join(selected.report(Changes(mailbox.modseq, None, [], True), with_expunges=True, with_uid=False))


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


# Mod-sequences


def _changes(*rows: tuple[int, int, int, int | None], modseq: int) -> Changes:
    mailbox = Mailbox(1, 1, "INBOX", 1, 9, modseq, 5, 0, 0, 500, "", 0)
    return Changes(mailbox.modseq, Keywords(), list(rows), True)


def _told(selected: Selected, changes: Changes, enabled: Extension, **how: bool) -> bytes:
    return b"".join(selected.report(changes, **{"with_expunges": True, **how}, enabled=enabled))


QRESYNC = Extension.QRESYNC | Extension.CONDSTORE


def test_flags_come_in_the_order_of_their_changes() -> None:
    selected = _selected()
    changes = _changes((1, 1, NOW + 3, None), (2, 1, NOW + 2, None), modseq=NOW + 3)
    assert _told(selected, changes, QRESYNC) == (
        b"* 2 FETCH (UID 2 FLAGS (\\Seen) MODSEQ (1002))\r\n* 1 FETCH (UID 1 FLAGS (\\Seen) MODSEQ (1003))\r\n"
    )
    assert selected.highest() == NOW + 3
    assert selected.highest() is None


def test_an_expunge_that_is_held_back_holds_the_mod_sequence_back() -> None:
    selected = _selected()
    changes = _changes((1, 1, NOW + 9, None), (3, 0, NOW + 5, 77), modseq=NOW + 9)
    assert b"VANISHED" not in _told(selected, changes, QRESYNC, with_expunges=False)
    assert selected.highest() == NOW + 4
    assert selected.highest() == NOW + 4
    assert selected.highest(only_held=True) == NOW + 4
    nothing = Changes(changes.modseq, None, [], True)
    assert _told(selected, nothing, QRESYNC) == b"* VANISHED 3\r\n"
    assert selected.highest() == NOW + 9


def test_a_message_that_came_and_went_unseen_holds_nothing_back() -> None:
    selected = _selected()
    _told(selected, _changes((7, 0, NOW + 5, 77), modseq=NOW + 5), QRESYNC, with_expunges=False)
    assert selected.highest() == NOW + 5


def test_flags_left_out_for_notify_are_asked_for_again() -> None:
    selected = _selected()
    assert _told(selected, _changes((1, 1, NOW + 2, None), modseq=NOW + 2), QRESYNC, with_flags=False) == b""
    assert selected.highest() is None
    assert selected.since(True) == NOW
    assert selected.since(False) == NOW + 2


def test_only_uids_with_uidonly() -> None:
    selected = _selected()
    changes = _changes((2, 1, NOW + 2, None), (4, 0, NOW + 3, 77), modseq=NOW + 3)
    assert _told(selected, changes, Extension.UIDONLY) == b"* VANISHED 4\r\n* 2 UIDFETCH (FLAGS (\\Seen))\r\n"


def test_unknown_keywords_are_noticed() -> None:
    selected = _selected()
    assert not selected.lacks_keywords([(1, 0xFF)])
    assert selected.lacks_keywords([(1, 1), (2, 1 << 8)])
    assert not selected.lacks_keywords([])


# \Recent


def test_what_is_recent_is_told_with_what_arrives_and_counted_while_it_is_there() -> None:
    selected = _selected()
    assert selected.recent_line() == b"* 0 RECENT\r\n"
    assert selected.gain(((4, 5),)) and not selected.gain(((4, 5),)) and not selected.gain(())
    assert selected.gain(((6, 6),))
    changes = _changes((4, 0, NOW + 1, 1), (6, 1, NOW + 1, None), modseq=NOW + 1)
    told = b"".join(selected.report(changes, with_expunges=True, has_recent=True))
    assert told == b"* 4 EXPUNGE\r\n* 5 EXISTS\r\n* 2 RECENT\r\n"
    gone = _changes((1, 0, NOW + 2, 1), modseq=NOW + 2)
    assert b"".join(selected.report(gone, with_expunges=True)) == b"* 1 EXPUNGE\r\n"
    gone = _changes((5, 0, NOW + 3, 1), modseq=NOW + 3)
    assert b"".join(selected.report(gone, with_expunges=False)) == b""
    assert b"".join(selected.report(_changes(modseq=NOW + 3), with_expunges=True)) == b"* 3 EXPUNGE\r\n* 1 RECENT\r\n"


def test_recent_is_among_the_flags() -> None:
    selected = _selected()
    selected.gain(((4, 6),))
    b"".join(selected.report(_changes((4, 0, NOW + 1, 1), (6, 1, NOW + 1, None), modseq=NOW + 1), with_expunges=True))
    assert selected.render_flags([(1, 1, NOW), (6, 1, NOW)]) == (
        b"* 1 FETCH (FLAGS (\\Seen))\r\n* 5 FETCH (FLAGS (\\Seen \\Recent))\r\n"
    )
    assert selected.learn(Keywords((b"$New",)))
    assert selected.flags.recent == ((4, 6),)


def test_ranges_of_recent_messages_are_limited() -> None:
    selected = _selected()
    assert selected.gain([(2 * place, 2 * place) for place in range(1, 2 * MAX_RECENT_RANGES)])
    assert len(selected.flags.recent) == MAX_RECENT_RANGES
    assert selected.flags.recent[-1] == (4 * MAX_RECENT_RANGES - 2,) * 2
