"""Responses, with the examples of RFC 3501 §7 and of the extensions' RFCs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.imap import response as r
from shared.imap.command import StatusItem
from shared.imap.grammar import Scanner
from shared.imap.response import Condition


def test_status_responses() -> None:
    assert r.ok(b"A001", b"LOGIN completed") == b"A001 OK LOGIN completed\r\n"
    assert r.no(b"A222", b"COPY failed", r.TRYCREATE) == b"A222 NO [TRYCREATE] COPY failed\r\n"
    assert r.bad(None, b"Empty command line") == b"* BAD Empty command line\r\n"
    assert r.bad(b"t", b"") == b"t BAD .\r\n"
    assert r.untagged_status(Condition.OK, b"UIDs valid", r.code_uidvalidity(3857529045)) == (
        b"* OK [UIDVALIDITY 3857529045] UIDs valid\r\n"
    )
    assert r.bye(b"Autologout; idle for too long") == b"* BYE Autologout; idle for too long\r\n"
    assert r.greeting(b"ready", [b"IMAP4rev1", b"IDLE"]) == b"* OK [CAPABILITY IMAP4rev1 IDLE] ready\r\n"
    assert r.continuation() == b"+ OK\r\n"


def test_text_cannot_break_its_line() -> None:
    assert r.no(b"a", b"x\r\nb OK y\0\xff") == b"a NO x??b OK y??\r\n"


def test_codes() -> None:
    assert r.code_appenduid(38505, [(3955, 3955)]) == b"APPENDUID 38505 3955"
    assert r.code_copyuid(38505, [(304, 304), (319, 320)], [(3956, 3958)]) == (b"COPYUID 38505 304,319:320 3956:3958")
    assert r.code_uidnext(4392) == b"UIDNEXT 4392"
    assert r.code_unseen(12) == b"UNSEEN 12"
    assert r.code_permanentflags(b"(\\Deleted \\*)") == b"PERMANENTFLAGS (\\Deleted \\*)"
    assert r.code_badcharset([b"UTF-8"]) == b"BADCHARSET (UTF-8)"


def test_mailbox_data() -> None:
    assert r.list_line("~/Mail/foo", [b"\\Noselect"]) == b'* LIST (\\Noselect) "/" ~/Mail/foo\r\n'
    assert r.list_line("", [b"\\Noselect"]) == b'* LIST (\\Noselect) "/" ""\r\n'
    assert r.list_line("日本語", kind=b"LSUB") == b'* LSUB () "/" &ZeVnLIqe-\r\n'
    assert r.list_line("a b", separator=None) == b'* LIST () NIL "a b"\r\n'
    assert r.status("blurdybloop", {StatusItem.MESSAGES: 231, StatusItem.UIDNEXT: 44292}) == (
        b"* STATUS blurdybloop (MESSAGES 231 UIDNEXT 44292)\r\n"
    )
    assert r.search([2, 84, 882]) == b"* SEARCH 2 84 882\r\n"
    assert r.search([]) == b"* SEARCH\r\n"
    assert r.flags(b"(\\Seen)") == b"* FLAGS (\\Seen)\r\n"
    assert r.exists(23) == b"* 23 EXISTS\r\n"
    assert r.recent(5) == b"* 5 RECENT\r\n"
    assert r.expunge(44) == b"* 44 EXPUNGE\r\n"
    assert r.expunges([7, 4]) == b"* 7 EXPUNGE\r\n* 4 EXPUNGE\r\n"
    assert r.capability([b"IMAP4rev1", b"AUTH=PLAIN"]) == b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n"
    assert r.enabled([]) == b"* ENABLED\r\n"
    assert r.namespace() == b'* NAMESPACE (("" "/")) NIL NIL\r\n'
    assert r.server_id({b"name": b"Packetboat", b"version": None}) == b'* ID ("name" "Packetboat" "version" NIL)\r\n'
    assert r.server_id(None) == b"* ID NIL\r\n"


def test_fetch() -> None:
    items = [r.item(b"FLAGS", b"(\\Seen)"), r.item(b"UID", b"4827313")]
    assert r.fetch(23, items) == b"* 23 FETCH (FLAGS (\\Seen) UID 4827313)\r\n"
    assert r.fetch(1, [r.literal_item_head(b"BODY[]", 2) + b"xy"]) == b"* 1 FETCH (BODY[] {2}\r\nxy)\r\n"


@pytest.mark.parametrize(
    ("data", "rendered"),
    [
        (b"abc", b'"abc"'),
        (b'a"b\\', b'"a\\"b\\\\"'),
        (b"", b'""'),
        (b"a\r\nb", b"{4}\r\na\r\nb"),
        (b"\xc3\xbc", b"{2}\r\n\xc3\xbc"),
        (b"x" * 1025, b"{1025}\r\n" + b"x" * 1025),
    ],
)
def test_strings(data: bytes, rendered: bytes) -> None:
    assert r.string(data) == rendered


@given(st.binary().map(lambda data: data.replace(b"\0", b"")))
def test_what_is_rendered_can_be_parsed(data: bytes) -> None:
    for rendered in (r.string(data), r.astring(data), r.literal(data)):
        scanner = Scanner(rendered)
        assert scanner.astring() == data
        scanner.end()
    scanner = Scanner(r.nstring(data))
    assert scanner.nstring() == data
    assert Scanner(r.nstring(None)).nstring() is None


@given(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=50))
def test_mailbox_names_come_back(name: str) -> None:
    from shared.imap.mailbox_name import canonical

    assert Scanner(r.mailbox(name)).mailbox() == canonical(name)
