"""Commands on mailboxes, mutated: a value or BadCommand, whatever comes; what a value holds keeps its promises."""

from __future__ import annotations

import random
import re

from shared.imap import command as c
from shared.imap.acl import canonical
from shared.imap.command_parser import BadCommand, parse_command
from shared.imap.listing import CRITERIA, Selection, choose
from shared.imap.mailbox_name import split_shared
from shared.imap.metadata import parse_entry
from tests.fuzz.mutation import mutate

ROUNDS = 6_000

SEEDS = [
    b"a CREATE x (USE (\\Drafts \\Sent))",
    b'a LIST (SUBSCRIBED RECURSIVEMATCH SPECIAL-USE REMOTE) "" ("a" b/*) RETURN (MYRIGHTS STATUS (SIZE) CHILDREN)',
    b'a LIST "" % RETURN (METADATA (/shared/comment "/private/comment") SUBSCRIBED SPECIAL-USE)',
    b"a STATUS x (DELETED-STORAGE MAILBOXID DELETED APPENDLIMIT HIGHESTMODSEQ)",
    b'a SETACL "Other Users/b@c/x" -@b.c +lrswikda',
    b'a SETACL x {3}\r\nb@c ""',
    b"a DELETEACL x anyone",
    b"a LISTRIGHTS x smith",
    b'a GETQUOTA "!partition/sda4"',
    b'a SETQUOTA "" (STORAGE 512 MESSAGE 9)',
    b"a GETMETADATA (MAXSIZE 1024 DEPTH infinity) x (/shared/a /private/b)",
    b'a GETMETADATA "INBOX" (DEPTH 1) /private/filters/values',
    b'a SETMETADATA "" (/private/comment {3}\r\nabc /shared/comment NIL /shared/b ~{3}\r\n\0\1\2)',
]
TOKENS = [
    b"(", b")", b'"', b"\\", b"{", b"~{2}\r\n", b"{1}\r\n", b"*", b"%", b"&", b"\0", b" ", b"NIL", b"/", b"//", b"+",
    b"-", b"/shared/", b"/private", b"DEPTH ", b"STATUS ", b"METADATA ", b"99999999999999999999", b"\xff", b"((((((((",
]  # fmt: skip


def check(command: object) -> None:
    match command:
        case c.List(selection=selection, patterns=patterns):
            assert patterns
            assert Selection.RECURSIVEMATCH not in selection or selection.intersection(CRITERIA)
            assert list(choose([], patterns, selection)) == []
        case c.SetAcl(sign=sign, rights=rights, identifier=identifier):
            assert sign in ("", "+", "-")
            assert canonical(rights) == rights
            assert identifier
            assert identifier == identifier.lower()
        case c.GetMetadata(query=query):
            assert all(parse_entry(entry.encode()) == entry and query.covers(entry) for entry in query.entries)
        case c.SetMetadata(values=values):
            assert values
            assert len({entry for entry, _ in values}) == len(values)
        case c.Status(mailbox=mailbox, items=items):
            assert items
            split_shared(mailbox)


def test_mutated_commands() -> None:
    dice = random.Random(4314)
    understood = 0
    for _ in range(ROUNDS):
        text = mutate(dice.choice(SEEDS), dice, TOKENS, SEEDS)
        for utf8 in (False, True):
            try:
                command = parse_command(text, utf8=utf8)
            except BadCommand as error:
                assert error.text
                assert re.fullmatch(rb"[\x20-\x7e]+", error.text), error.text
            else:
                understood += 1
                check(command)
    assert understood > ROUNDS // 50
