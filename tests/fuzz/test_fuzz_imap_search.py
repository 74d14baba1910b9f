"""Searches, sorts and threads on mutated commands and hostile mail: a value or BadCommand, in bounded time."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.imap import command as commands
from shared.imap import search
from shared.imap.command_parser import BadCommand, parse_command
from shared.imap.envelope import first_addresses
from shared.imap.flags import Keywords
from shared.imap.limits import MAX_SEARCH_DEPTH, MAX_SEARCH_KEYS
from shared.imap.sequence import BadSequence
from shared.imap.sort import base_subject
from shared.imap.thread import Threadable, ThreadAlgorithm, thread
from shared.imap.view import View
from shared.message.rendered import render
from tests.fuzz.mutation import mutate

ROUNDS = 4000
SECONDS = 20.0  # that any single command may take

SEEDS = [
    b'd1 SEARCH RETURN (MIN COUNT SAVE PARTIAL -1:-50) $ FUZZY (SUBJECT "a b" OR OLDER 5 YOUNGER 6)',
    b'd2 UID SORT RETURN (UPDATE ALL) (REVERSE DATE SUBJECT DISPLAYTO) UTF-8 MODSEQ "/flags/\\\\draft" all 5',
    b"d3 THREAD REFERENCES UTF-8 SAVEDSINCE 1-Feb-2026 EMAILID M01 NOT THREADID T0",
    b'd4 ESEARCH IN (mailboxes "a" subtree ("b" c) personal) RETURN (COUNT) 1:*,$',
    b'd5 CANCELUPDATE "d2" "d4"',
    b"d6 UID FETCH $ (FLAGS) (PARTIAL 1:10 CHANGEDSINCE 5)",
    b"d7 SEARCH CHARSET ISO-8859-1 FUZZY FUZZY NOT FUZZY TEXT {3}\r\n\xe9 b",
]
TOKENS = [
    b"(",
    b")",
    b'"',
    b"$",
    b"$,",
    b"*",
    b":",
    b",",
    b" ",
    b"NOT ",
    b"OR ",
    b"FUZZY ",
    b"{2}\r\n",
    b"-",
    b"0",
    b"\xff",
]


def check(text: bytes) -> bool:
    """Parse, and bind the key; say whether it was a command."""
    try:
        command = parse_command(text)
    except BadCommand as bad:
        assert bad.text.isascii()
        return False
    if isinstance(command, commands.Search | commands.Sort | commands.Thread | commands.MultiSearch):
        try:
            bound = search.bind(command.key, View([(1, 5)]), Keywords((b"$Junk",)), ((2, 3),), 1_000_000)
        except BadSequence:
            return True
        assert not search.is_fuzzy(search.exact(bound))
        search.split(bound)
        search.uid_bounds(bound)
    return True


def test_seeds_are_commands():
    assert all(map(check, SEEDS))


def test_mutations():
    dice = random.Random(5267)
    for _ in range(ROUNDS):
        check(mutate(dice.choice(SEEDS), dice, TOKENS, SEEDS))


@given(st.binary(max_size=80))
@settings(max_examples=200)
def test_anything(data):
    for name in (b"SEARCH ", b"SORT (DATE) UTF-8 ", b"THREAD REFERENCES UTF-8 ", b"ESEARCH IN (", b"SEARCH RETURN ("):
        check(b"a " + name + data)


@pytest.mark.parametrize(
    "key",
    [
        b"NOT " * MAX_SEARCH_DEPTH + b"ALL",
        b"FUZZY " * MAX_SEARCH_DEPTH + b"SUBJECT x",
        b"FUZZY (" * (MAX_SEARCH_DEPTH - 1) + b'TEXT "a b c"' + b")" * (MAX_SEARCH_DEPTH - 1),
        b"OR ALL " * MAX_SEARCH_DEPTH + b"ALL",
        b" ".join([b'FUZZY TEXT "a b c d e f"'] * (MAX_SEARCH_KEYS // 2 - 1)),
        b"(" * 100_000,
        b"NOT " * 100_000 + b"ALL",
        b"1" + b",3" * 99_999,
        b"$" + b",$" * 99_999,
        b"ALL " * 100_000 + b"ALL",
    ],
    ids=lambda key: key[:12].decode(),
)
def test_hostile_keys_end_soon(key):
    began = time.process_time()
    check(b"a UID SEARCH " + key)
    assert time.process_time() - began < SECONDS


@given(st.binary(max_size=300))
@settings(max_examples=200)
def test_hostile_mail_is_sorted_and_threaded(header):
    found = render(b"From: a\r\nReferences: " + header + b"\r\n\r\n")
    first_addresses(found.envelope)
    base = base_subject(found.subject)
    letter = Threadable(1, 0, base.text.encode(), base.is_reply, found.message_id, tuple(found.refs.split()))
    for algorithm in ThreadAlgorithm:
        assert thread([letter], algorithm) == b"(1)"
