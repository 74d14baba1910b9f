"""The sample connection of RFC 3501 §8: what the client sends, understood; what the server sends, rendered."""

from __future__ import annotations

from datetime import timedelta, timezone

from shared.imap import command as c
from shared.imap import flags
from shared.imap import response as r
from shared.imap.command import Command
from shared.imap.command_parser import parse_command
from shared.imap.dates import parse_date_time, render_date_time
from shared.imap.fetch import MACROS, BodySection, SectionText
from shared.imap.flags import FlagLists, FlagSet, Keywords
from shared.imap.receive import CommandReceived, ReceiveBuffer
from shared.imap.sequence import SequenceSet
from shared.imap.state import SessionState, is_allowed, next_state

CLIENT = b"""a001 login mrc secret\r
a002 select inbox\r
a003 fetch 12 full\r
a004 fetch 12 body[header]\r
a005 store 12 +flags \\deleted\r
a006 logout\r
"""

TWELVE = SequenceSet(((12, 12),))
COMMANDS: list[tuple[Command, SessionState]] = [
    (c.Login(b"a001", b"mrc", b"secret"), SessionState.AUTHENTICATED),
    (c.Select(b"a002", "INBOX"), SessionState.SELECTED),
    (c.Fetch(b"a003", TWELVE, MACROS[b"FULL"]), SessionState.SELECTED),
    (c.Fetch(b"a004", TWELVE, (BodySection(b"BODY[HEADER]", text=SectionText.HEADER),)), SessionState.SELECTED),
    (c.Store(b"a005", TWELVE, c.StoreAction.ADD, FlagSet(flags.DELETED)), SessionState.SELECTED),
    (c.Logout(b"a006"), SessionState.LOGOUT),
]


def test_the_clients_side() -> None:
    buffer = ReceiveBuffer()
    buffer.feed(CLIENT)
    state = SessionState.NOT_AUTHENTICATED
    for expected, after in COMMANDS:
        event = buffer.next_event()
        assert isinstance(event, CommandReceived)
        command = parse_command(event.text)
        assert command == expected
        assert is_allowed(command, state)
        state = next_state(command, state, succeeded=True)
        assert state is after
    assert buffer.next_event() is None


def test_the_servers_side() -> None:
    lists = FlagLists(Keywords())
    moment = parse_date_time(b"17-Jul-1996 02:44:25 -0700")
    assert moment.tzinfo == timezone(timedelta(hours=-7))
    header = b"Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\n\r\n"
    sent = [
        r.untagged_status(r.Condition.OK, b"IMAP4rev1 Service Ready"),
        r.ok(b"a001", b"LOGIN completed"),
        r.exists(18),
        r.flags(lists.render_known()),
        r.recent(2),
        r.untagged_status(r.Condition.OK, b"Message 17 is the first unseen message", r.code_unseen(17)),
        r.untagged_status(r.Condition.OK, b"UIDs valid", r.code_uidvalidity(3857529045)),
        r.ok(b"a002", b"SELECT completed", r.READ_WRITE),
        r.fetch(12, [r.item(b"FLAGS", lists.render(flags.SEEN)), r.item(b"INTERNALDATE", render_date_time(moment))]),
        r.fetch(12, [r.literal_item_head(b"BODY[HEADER]", len(header)) + header]),
        r.fetch(12, [r.item(b"FLAGS", lists.render(flags.SEEN | flags.DELETED))]),
        r.bye(b"IMAP4rev1 server terminating connection"),
    ]
    assert b"".join(sent) == (
        b"* OK IMAP4rev1 Service Ready\r\n"
        b"a001 OK LOGIN completed\r\n"
        b"* 18 EXISTS\r\n"
        b"* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n"
        b"* 2 RECENT\r\n"
        b"* OK [UNSEEN 17] Message 17 is the first unseen message\r\n"
        b"* OK [UIDVALIDITY 3857529045] UIDs valid\r\n"
        b"a002 OK [READ-WRITE] SELECT completed\r\n"
        b'* 12 FETCH (FLAGS (\\Seen) INTERNALDATE "17-Jul-1996 02:44:25 -0700")\r\n'
        b"* 12 FETCH (BODY[HEADER] {47}\r\nDate: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\n\r\n)\r\n"
        b"* 12 FETCH (FLAGS (\\Deleted \\Seen))\r\n"
        b"* BYE IMAP4rev1 server terminating connection\r\n"
    )
