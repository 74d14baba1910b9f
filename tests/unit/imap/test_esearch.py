"""RETURN options, ESEARCH responses, results that are kept (RFC 4731, 5182, 5267, 7377, 9394)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.imap.command import MultiSearch, Search
from shared.imap.command_parser import BadCommand, parse_command
from shared.imap.esearch import Found, Origin, esearch, saved, update
from shared.imap.limits import MAX_SOURCES
from shared.imap.mailbox_filter import FilterKind, MailboxFilter
from shared.imap.search_return import Partial, Return, ReturnOption
from shared.imap.sequence import SequenceSet, render_runs, window


def returns(text: str) -> Return:
    command = parse_command(b"a SEARCH RETURN " + text.encode() + b" ALL")
    assert isinstance(command, Search) and command.returns is not None
    return command.returns


UIDS = [3, 4, 5, 9]


@pytest.mark.parametrize(
    ("options", "response"),
    [
        ("()", b"ALL 3:5,9"),
        ("(ALL)", b"ALL 3:5,9"),
        ("(MIN MAX)", b"MIN 3 MAX 9"),
        ("(COUNT MAX)", b"MAX 9 COUNT 4"),
        ("(SAVE COUNT)", b"COUNT 4"),
        ("(PARTIAL 2:3)", b"PARTIAL (2:3 4:5)"),
        ("(PARTIAL 3:2)", b"PARTIAL (2:3 4:5)"),
        ("(PARTIAL -1:-2 COUNT)", b"COUNT 4 PARTIAL (-1:-2 5,9)"),
        ("(PARTIAL -4:-100)", b"PARTIAL (-4:-100 3)"),
        ("(PARTIAL 5:9)", b"PARTIAL (5:9 NIL)"),
        ("(PARTIAL -5:-9)", b"PARTIAL (-5:-9 NIL)"),
    ],
)
def test_responses(options, response):
    origin = Origin(b"a1", uid=True)
    assert esearch(origin, returns(options), Found(UIDS, UIDS)) == b'* ESEARCH (TAG "a1") UID ' + response + b"\r\n"


def test_nothing_found():
    found = Found([], [], {}, {})
    assert esearch(Origin(b'a"', False), returns("(MIN MAX ALL)"), found) == b'* ESEARCH (TAG "a\\"")\r\n'
    assert esearch(Origin(b"a", False), returns("(COUNT)"), found) == b'* ESEARCH (TAG "a") COUNT 0\r\n'


def test_of_several_mailboxes():
    origin = Origin(b"t", True, b'"a b"', 7)
    assert (
        esearch(origin, Return(), Found([1], [1])) == b'* ESEARCH (TAG "t" MAILBOX "a b" UIDVALIDITY 7) UID ALL 1\r\n'
    )


@pytest.mark.parametrize(
    ("options", "modseq"),
    [("(ALL)", 50), ("(COUNT)", 50), ("(MIN)", 10), ("(MAX)", 30), ("(MIN MAX)", 30), ("(PARTIAL 2:2)", 50)],
)
def test_the_highest_modseq_is_of_what_is_told(options, modseq):
    found = Found(UIDS, UIDS, {3: 10, 4: 50, 5: 20, 9: 30})
    assert esearch(Origin(b"a", True), returns(options), found).endswith(b" MODSEQ %d\r\n" % modseq)


def test_relevancy():
    found = Found([1, 2], [3, 4], None, {3: 50, 4: 100})
    line = esearch(Origin(b"a", False), Return(frozenset((ReturnOption.ALL, ReturnOption.RELEVANCY))), found)
    assert line == b'* ESEARCH (TAG "a") ALL 1:2 RELEVANCY (50 100)\r\n'


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ("(SAVE)", UIDS),
        ("(SAVE MIN)", [3]),
        ("(SAVE MIN MAX)", [3, 9]),
        ("(SAVE MIN COUNT)", UIDS),
        ("(SAVE PARTIAL 2:2)", [4]),
        ("(SAVE PARTIAL 2:2 MAX)", [4, 9]),
    ],
)
def test_what_is_saved(options, kept):
    assert list(saved(returns(options), UIDS)) == kept
    assert not saved(returns(options), [])


def test_saving_alone_tells_nothing():
    assert returns("(SAVE)").saves_only
    assert not returns("(SAVE COUNT)").saves_only and not returns("(SAVE PARTIAL 1:2)").saves_only


@pytest.mark.parametrize(
    "options",
    ["(FIRST)", "(PARTIAL)", "(PARTIAL 0:1)", "(PARTIAL 1:-1)", "(PARTIAL 1:2 ALL)", "(PARTIAL 1:2 PARTIAL 3:4)",
     "(PARTIAL 1:99999999999)", "(MIN" + " MIN" * 30 + ")", "MIN", "(MIN"],
)  # fmt: skip
def test_what_no_client_may_ask(options):
    with pytest.raises(BadCommand):
        returns(options)


@given(st.integers(0, 30), st.integers(-12, 12), st.integers(-12, 12))
def test_windows(count, first, last):
    if not first or not last or (first > 0) != (last > 0):
        return
    numbers = list(range(1, count + 1))
    low, high = sorted((abs(first), abs(last)))
    expected = numbers[low - 1 : high] if first > 0 else numbers[::-1][low - 1 : high][::-1]
    begin, end = Partial(first, last).window(count)
    assert numbers[begin:end] == expected
    ranges = window([(1, count)] if count else [], begin, end)
    assert [number for pair in ranges for number in range(pair[0], pair[1] + 1)] == expected


def test_windows_of_ranges():
    assert window([(1, 3), (7, 9), (20, 20)], 2, 5) == ((3, 3), (7, 8))
    assert window([(1, 3), (7, 9)], 6, 9) == window([(1, 3)], 1, 1) == ()


def test_updates():
    origin = Origin(b"b", True)
    assert update(origin, [(0, 3), (0, 4)], []) == b'* ESEARCH (TAG "b") UID REMOVEFROM (0 3:4)\r\n'
    assert update(origin, [], [(2, 7), (1, 9)]) == b'* ESEARCH (TAG "b") UID ADDTO (2 7 1 9)\r\n'
    assert update(origin, [], []) == b""


def test_runs_keep_their_order():
    assert render_runs([5, 6, 7, 2, 1, 3, 4]) == b"5:7,2,1,3:4"
    assert render_runs([]) == b""


@pytest.mark.parametrize("text", [b"$", b"$,1", b"1:2,$,9"])
def test_saved_results_in_sets(text):
    numbers = SequenceSet.parse(text)
    assert numbers.saved and SequenceSet.parse(numbers.render()) == numbers


def sources(text: str) -> tuple[MailboxFilter, ...]:
    command = parse_command(b"a ESEARCH IN (" + text.encode() + b") ALL")
    assert isinstance(command, MultiSearch)
    return command.sources


def test_sources():
    assert sources('inboxes subtree ("a b" c) mailboxes INBOX') == (
        MailboxFilter(FilterKind.INBOXES),
        MailboxFilter(FilterKind.SUBTREE, ("a b", "c")),
        MailboxFilter(FilterKind.MAILBOXES, ("INBOX",)),
    )
    assert sources("selected") == (MailboxFilter(FilterKind.SELECTED),)


@pytest.mark.parametrize(
    "text", ["", "subtree", "subtree ()", "nothing", "personal (a)", "mailboxes (a" + " a" * 1100 + ")"]
)
def test_sources_that_make_no_sense(text):
    assert MAX_SOURCES == 1_000
    with pytest.raises(BadCommand):
        sources(text)
