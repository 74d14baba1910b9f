"""Flags and keywords as a 64-bit set."""

from __future__ import annotations

import pytest

from shared.imap import flags
from shared.imap.flags import BadFlag, FlagLists, FlagSet, Keywords, TooManyKeywords, parse_flags


def test_parse() -> None:
    assert parse_flags([b"\\Seen", b"\\DELETED", b"$Junk", b"$junk", b"x"]) == FlagSet(
        flags.SEEN | flags.DELETED, (b"$Junk", b"x")
    )


@pytest.mark.parametrize("name", [b"\\Recent", b"\\Foo", b"\\*", b"\\", b"", b"a b", b"a(", b"a]", b"\xc3", b"k" * 101])
def test_parse_bad(name: bytes) -> None:
    with pytest.raises(BadFlag):
        parse_flags([name])


def test_keywords_ignore_case_and_keep_their_first_spelling() -> None:
    keywords = Keywords((b"$Junk",)).learn([b"$JUNK", b"Foo", b"foo"])
    assert keywords.names == (b"$Junk", b"Foo")
    assert keywords.bit(b"FOO") == 1 << 9
    assert keywords.bit(b"bar") is None
    wanted = FlagSet(flags.SEEN, (b"foo", b"bar"))
    assert keywords.missing(wanted) == (b"bar",)
    assert keywords.mask(wanted) == flags.SEEN | 1 << 9


def test_a_mailbox_has_56_keywords() -> None:
    full = Keywords(tuple(b"k%d" % n for n in range(56)))
    assert full.mask(FlagSet(0, (b"k55",))) == 1 << 63
    with pytest.raises(TooManyKeywords):
        full.learn([b"one-more"])
    assert b"\\*" not in FlagLists(full).render_permanent()


def test_lists() -> None:
    lists = FlagLists(Keywords((b"$Junk", b"x")))
    assert lists.render(0) == b"()"
    assert lists.render(flags.SEEN | flags.ANSWERED | 1 << 9) == b"(\\Answered \\Seen x)"
    assert lists.render(1 << 8, recent=True) == b"($Junk \\Recent)"
    assert lists.render(1 << 8) == b"($Junk)"
    assert lists.render_known() == b"(\\Answered \\Flagged \\Deleted \\Seen \\Draft $Junk x)"
    assert lists.render_permanent() == b"(\\Answered \\Flagged \\Deleted \\Seen \\Draft $Junk x \\*)"


def test_remembered_lists_are_bounded() -> None:
    lists = FlagLists(Keywords(tuple(b"k%d" % n for n in range(20))))
    for mask in range(5000):
        assert lists.render(mask << 8).count(b"k") == mask.bit_count()
    assert len(lists._rendered) <= 1024
