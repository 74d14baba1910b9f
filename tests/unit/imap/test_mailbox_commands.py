"""Arguments of the commands on mailboxes, and the cores behind them: rights, LIST, annotations, responses."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.imap import command as c
from shared.imap import mailbox_response, response
from shared.imap.acl import ALL_RIGHTS, BadRights, canonical, changeable_flags, effective, parse_rights, show_rights
from shared.imap.command import Command, StatusItem
from shared.imap.command_parser import BadCommand, parse_command
from shared.imap.flags import ALL_BITS, DELETED, FLAGGED, SEEN
from shared.imap.listing import Line, Return, Selection, Style, attributes, choose
from shared.imap.mailbox_name import ListPattern, check_new_name, shared_name, split_shared
from shared.imap.metadata import BadEntry, Depth, Query, parse_entry
from shared.imap.special_use import UnknownUse, parse_uses

COMMANDS: dict[bytes, Command] = {
    b"a CREATE x": c.Create(b"a", "x"),
    b"a CREATE x (USE (\\Drafts \\Sent))": c.Create(b"a", "x", (b"\\Drafts", b"\\Sent")),
    b'a LIST "" %': c.List(b"a", "", ("%",)),
    b'a LIST (SUBSCRIBED recursivematch) "" ("a" b*) RETURN (MYRIGHTS STATUS (MESSAGES SIZE) CHILDREN)': c.List(
        b"a",
        "",
        ("a", "b*"),
        frozenset((Selection.SUBSCRIBED, Selection.RECURSIVEMATCH)),
        frozenset((Return.MYRIGHTS, Return.CHILDREN)),
        (StatusItem.MESSAGES, StatusItem.SIZE),
        (),
        True,
    ),
    b'a LIST "" * RETURN (METADATA (/shared/Comment /private/comment))': c.List(
        b"a", "", ("*",), metadata=("/shared/comment", "/private/comment"), extended=True
    ),
    b'a LIST "" * RETURN (METADATA /shared/comment)': c.List(
        b"a", "", ("*",), metadata=("/shared/comment",), extended=True
    ),
    b"a STATUS x (DELETED-STORAGE mailboxid DELETED APPENDLIMIT)": c.Status(
        b"a",
        "x",
        (StatusItem.DELETED_STORAGE, StatusItem.MAILBOXID, StatusItem.DELETED, StatusItem.APPENDLIMIT),
    ),
    b"a SETACL INBOX/Drafts Byron +lrswikda": c.SetAcl(b"a", "INBOX/Drafts", "byron", "+", "lrswiktea"),
    b'a SETACL x -anyone ""': c.SetAcl(b"a", "x", "-anyone", "", ""),
    b"a DELETEACL x {5}\r\nB b@c": c.DeleteAcl(b"a", "x", "b b@c"),
    b"a GETACL x": c.GetAcl(b"a", "x"),
    b"a LISTRIGHTS x smith": c.ListRights(b"a", "x", "smith"),
    b"a MYRIGHTS x": c.MyRights(b"a", "x"),
    b'a GETQUOTA ""': c.GetQuota(b"a", ""),
    b'a GETQUOTA "!partition/sda4"': c.GetQuota(b"a", "!partition/sda4"),
    b"a GETQUOTAROOT INBOX": c.GetQuotaRoot(b"a", "INBOX"),
    b'a SETQUOTA "" (STORAGE 512 MESSAGE 9)': c.SetQuota(b"a", ""),
    b'a GETMETADATA "" /shared/comment': c.GetMetadata(b"a", "", Query(("/shared/comment",))),
    b"a GETMETADATA (MAXSIZE 1024 DEPTH infinity) x (/shared/a /private/b)": c.GetMetadata(
        b"a", "x", Query(("/shared/a", "/private/b"), Depth.ALL, 1024)
    ),
    b'a GETMETADATA "INBOX" (DEPTH 1) (/private/filters/values)': c.GetMetadata(
        b"a", "INBOX", Query(("/private/filters/values",), Depth.ONE)
    ),
    b'a SETMETADATA x (/private/comment "y" /shared/comment NIL /shared/b ~{3}\r\n\0\1\2)': c.SetMetadata(
        b"a", "x", (("/private/comment", b"y"), ("/shared/comment", None), ("/shared/b", b"\0\1\2"))
    ),
}


@pytest.mark.parametrize("text", COMMANDS)
def test_commands(text: bytes) -> None:
    assert parse_command(text) == COMMANDS[text]


@pytest.mark.parametrize(
    "text",
    [
        b"a CREATE x (USE \\Drafts)",
        b"a CREATE x (FOO)",
        b'a LIST (RECURSIVEMATCH) "" *',
        b'a LIST (REMOTE RECURSIVEMATCH) "" *',
        b'a LIST "" * RETURN (STATUS ())',
        b'a LIST "" * RETURN (METADATA ())',
        b'a LIST "" * RETURN (METADATA (/other/x))',
        b'a LIST "" *  RETURN ()',
        b"a STATUS x (FOO)",
        b"a SETACL x bob lrq",
        b"a SETACL x bob LR",
        b'a SETACL x "" l',
        b"a SETACL x - l",
        b"a SETACL x bob",
        b"a GETACL",
        b"a GETQUOTA",
        b"a SETQUOTA x STORAGE 1",
        b"a SETQUOTA x (STORAGE)",
        b"a GETMETADATA x ()",
        b"a GETMETADATA (DEPTH 2) x /shared/a",
        b"a GETMETADATA (FOO 2) x /shared/a",
        b"a GETMETADATA x /shared/a*",
        b"a SETMETADATA x ()",
        b"a SETMETADATA x (/shared/a)",
    ],
)
def test_bad_commands(text: bytes) -> None:
    with pytest.raises(BadCommand):
        parse_command(text)


def test_rights() -> None:
    assert parse_rights("cdrl") == "lrkxte"
    assert canonical("aal") == "la"
    assert show_rights("lrs") == b"lrs"
    assert show_rights("lkt") == b"lktcd"
    assert show_rights("") == b'""'
    for bad in ("q", "L", "lr ", "1"):
        with pytest.raises(BadRights):
            parse_rights(bad)


@given(st.lists(st.tuples(st.sampled_from(["a", "-a", "anyone", "-anyone"]), st.text(ALL_RIGHTS))))
def test_rights_that_are_taken_away_count_most(entries: list[tuple[str, str]]) -> None:
    rights = effective(entries)
    taken = {letter for identifier, letters in entries if identifier.startswith("-") for letter in letters}
    given_ = {letter for identifier, letters in entries if not identifier.startswith("-") for letter in letters}
    assert set(rights) == given_ - taken
    assert parse_rights(rights) == rights


def test_flags_that_rights_let_change() -> None:
    assert changeable_flags(ALL_RIGHTS) == ALL_BITS
    assert changeable_flags("lr") == 0
    assert changeable_flags("st") == SEEN | DELETED
    assert changeable_flags("w") & (SEEN | DELETED | FLAGGED) == FLAGGED


def test_uses() -> None:
    assert parse_uses([b"\\sent", b"\\Drafts", b"\\SENT"]) == "\\Sent \\Drafts"
    assert parse_uses([]) == ""
    for bad in (b"\\All", b"\\Flagged", b"Sent", b"\\\xff"):
        with pytest.raises(UnknownUse):
            parse_uses([bad])


# Names of what others share


def test_shared_names() -> None:
    assert shared_name("bob@a.test", "Work/x") == "Other Users/bob@a.test/Work/x"
    assert split_shared("Other Users/BOB@a.test/inbox") == ("bob@a.test", "INBOX")
    assert split_shared("Other Users") == ("", "")
    assert split_shared("Other Users/bob@a.test") == ("bob@a.test", "")
    assert split_shared("Other Usersx/y") is None
    assert split_shared("Work") is None


@given(st.text("a/=2FD@.", min_size=1), st.text("ab/", min_size=1))
def test_shared_names_lead_back(address: str, name: str) -> None:
    assert split_shared(shared_name(address.lower(), name)) == (address.lower(), name)


def test_a_shared_name_fits_a_new_mailbox() -> None:
    name = shared_name("bob@a.test", "Work")
    assert check_new_name(name) == name


# LIST


@dataclass(frozen=True)
class Entry:
    name: str
    exists: bool = True
    selectable: bool = True
    has_children: bool = False
    subscribed: bool = False
    special_use: str = ""


TREE = [
    Entry("INBOX", subscribed=True),
    Entry("foo2", has_children=True),
    Entry("foo2/bar1", subscribed=True),
    Entry("foo2/bar2", subscribed=True),
    Entry("gone", exists=False, subscribed=True),
    Entry("top", exists=False, has_children=True),
    Entry("top/sent", special_use="\\Sent"),
    Entry("up", exists=False),
    Entry("up/gone", exists=False, subscribed=True),
]


def chosen(patterns: list[str], *selection: Selection) -> list[str]:
    return [line.entry.name for line in choose(TREE, patterns, frozenset(selection))]


def test_choose() -> None:
    assert chosen(["*"]) == ["INBOX", "foo2", "foo2/bar1", "foo2/bar2", "top", "top/sent"]
    assert chosen(["%"]) == ["INBOX", "foo2", "top"]
    assert chosen(["inbox", "foo2/%"]) == ["INBOX", "foo2/bar1", "foo2/bar2"]
    assert chosen([""]) == []
    assert chosen(["*"], Selection.REMOTE) == chosen(["*"])
    assert chosen(["*"], Selection.SUBSCRIBED) == ["INBOX", "foo2/bar1", "foo2/bar2", "gone", "up/gone"]
    assert chosen(["*"], Selection.SPECIAL_USE) == ["top/sent"]
    assert chosen(["*"], Selection.SPECIAL_USE, Selection.SUBSCRIBED) == []


def test_choose_with_parents() -> None:
    found = list(choose(TREE, ["%"], frozenset((Selection.SUBSCRIBED, Selection.RECURSIVEMATCH))))
    info = (b"SUBSCRIBED",)
    by_name = {entry.name: entry for entry in TREE}
    assert found == [
        Line(by_name["INBOX"]),
        Line(by_name["foo2"], info, is_parent_only=True),
        Line(by_name["gone"]),
        Line(by_name["up"], info, is_parent_only=True),
    ]


NAMES = st.sampled_from(["a", "b", "ab"])
TREES = st.lists(
    st.tuples(st.lists(NAMES, min_size=1, max_size=3).map("/".join), st.booleans(), st.booleans()),
    unique_by=lambda entry: entry[0],
    max_size=12,
)


@given(TREES, st.lists(st.sampled_from(["*", "%", "a", "a/%", "*b", "a*/b", ""]), min_size=1, max_size=2))
def test_parents_are_shown_for_what_is_hidden_below(tree: list[tuple[str, bool, bool]], patterns: list[str]) -> None:
    entries = [Entry(name, exists, subscribed=subscribed) for name, exists, subscribed in sorted(tree)]

    def matches(name: str) -> bool:
        return any(ListPattern(pattern).matches(name) for pattern in patterns if pattern)

    want = {}
    for entry in entries:
        below = [other for other in entries if other.name.startswith(entry.name + "/") and other.subscribed]
        if not matches(entry.name):
            continue
        if entry.subscribed:
            want[entry.name] = bool(below), False
        elif any(not matches(other.name) for other in below):
            want[entry.name] = True, True
    selection = frozenset((Selection.SUBSCRIBED, Selection.RECURSIVEMATCH))
    found = {
        line.entry.name: (bool(line.child_info), line.is_parent_only) for line in choose(entries, patterns, selection)
    }
    assert found == want


def test_attributes() -> None:
    style = Style(with_subscribed=True, with_nonexistent=True)
    assert attributes(TREE[4], style) == [b"\\Subscribed", b"\\NonExistent", b"\\HasNoChildren"]
    assert attributes(Entry("x", selectable=False), style) == [b"\\Noselect", b"\\HasNoChildren"]
    assert attributes(TREE[5], Style()) == [b"\\Noselect", b"\\HasChildren"]
    assert attributes(Entry("x", special_use="\\Sent \\Junk"), Style()) == [b"\\HasNoChildren", b"\\Sent", b"\\Junk"]


# Annotations


def test_entries() -> None:
    assert parse_entry(b"/Shared/Vendor/X/color") == "/shared/vendor/x/color"
    for bad in (
        b"/shared",
        b"/shared/",
        b"/shared//a",
        b"/other/a",
        b"/shared/a*",
        b"/shared/a b",
        b"/shared/\xc3\xa9",
    ):
        with pytest.raises(BadEntry):
            parse_entry(bad)
    with pytest.raises(BadEntry):
        parse_entry(b"/shared/" + b"x" * 300)


def test_depth() -> None:
    names = ["/shared/a", "/shared/a/b", "/shared/a/b/c", "/shared/ab"]

    def covered(depth: Depth) -> list[str]:
        return [name for name in names if Query(("/shared/a",), depth).covers(name)]

    assert covered(Depth.NONE) == names[:1]
    assert covered(Depth.ONE) == names[:2]
    assert covered(Depth.ALL) == names[:3]


# Responses


def test_responses() -> None:
    assert mailbox_response.quota("a", {b"STORAGE": (1, 2), b"MESSAGE": (3, 4)}) == (
        b"* QUOTA a (STORAGE 1 2 MESSAGE 3 4)\r\n"
    )
    assert mailbox_response.quota("", {}) == b'* QUOTA "" ()\r\n'
    assert mailbox_response.quota_root(b"INBOX", "x y") == b'* QUOTAROOT INBOX "x y"\r\n'
    assert mailbox_response.acl(b"x", [("bob", "lr"), ("-bob", "")]) == b'* ACL x bob lr -bob ""\r\n'
    assert mailbox_response.list_rights(b"x", "bob", "", "lr") == b'* LISTRIGHTS x bob "" l r\r\n'
    assert mailbox_response.metadata(b'""', {"/shared/a": b"\0", "/shared/b": None, "/shared/c": b"\xc3\xa9"}) == (
        b'* METADATA "" (/shared/a ~{1}\r\n\0 /shared/b NIL /shared/c {2}\r\n\xc3\xa9)\r\n'
    )
    assert mailbox_response.metadata_changed(b"x", ["/shared/a", "/private/b"]) == (
        b"* METADATA x /shared/a /private/b\r\n"
    )


def test_list_lines() -> None:
    assert response.list_line("é") == b'* LIST () "/" &AOk-\r\n'
    assert response.list_line("é&", utf8=True) == b'* LIST () "/" "\xc3\xa9&"\r\n'
    assert response.list_line("a&b", utf8=True) == b'* LIST () "/" a&b\r\n'
    assert response.list_line("new", old_name="old", child_info=(b"SUBSCRIBED",)) == (
        b'* LIST () "/" new ("CHILDINFO" ("SUBSCRIBED") "OLDNAME" (old))\r\n'
    )
