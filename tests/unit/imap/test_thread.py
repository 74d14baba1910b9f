"""Threading by subject and by references (RFC 5256 §3, §4)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.imap.limits import MAX_THREAD_DEPTH, MAX_THREAD_PHANTOMS
from shared.imap.thread import Threadable, ThreadAlgorithm, normal_id, thread


def letter(number, references="", subject=b"", sent=None, message_id=None, is_reply=False):
    own = f"<{number}@t>" if message_id is None else message_id
    names = tuple(f"<{name}@t>" for name in references.split())
    return Threadable(number, number if sent is None else sent, subject, is_reply, own, names)


def by_references(*letters):
    return thread(letters, ThreadAlgorithm.REFERENCES).decode()


def test_answers_and_their_answers():
    assert by_references(letter(1), letter(2, "1"), letter(3, "1 2"), letter(4, "1"), letter(5)) == "(1 (2 3)(4))(5)"


def test_children_go_by_date():
    assert by_references(letter(1), letter(2, "1", sent=9), letter(3, "1", sent=8)) == "(1 (3)(2))"


def test_a_missing_parent_holds_its_children_together():
    assert by_references(letter(1, "x"), letter(2, "x")) == "((1)(2))"
    assert by_references(letter(1, "x y")) == "(1)"
    assert by_references(letter(1), letter(2, "1 x"), letter(3, "1 x")) == "(1 (2)(3))"


def test_a_thread_is_as_old_as_its_first_message():
    assert by_references(letter(1, sent=5), letter(2, "x", sent=9), letter(3, "x", sent=1)) == "((3)(2))(1)"


def test_loops_are_not_made():
    assert by_references(letter(1, "2"), letter(2, "1")) == "(2 1)"
    assert by_references(letter(1, "1"), letter(2, "3"), letter(3, "2 3")) == "(1)(3 2)"


def test_the_last_reference_wins():
    assert by_references(letter(1), letter(2, "1"), letter(3), letter(4, "1 3 2")) == "(1 (2 4)(3))"


def test_a_second_message_of_an_id_has_none():
    assert by_references(letter(1), letter(2, "1", message_id="<1@t>"), letter(3, "1")) == "(1 (2)(3))"


def test_threads_of_the_same_subject_are_joined():
    assert by_references(letter(1, subject=b"S"), letter(2, subject=b"S", is_reply=True)) == "(1 2)"
    assert by_references(letter(1, subject=b"S", is_reply=True), letter(2, subject=b"S")) == "(2 1)"
    assert by_references(letter(1, subject=b"S"), letter(2, subject=b"S")) == "((1)(2))"
    both = letter(1, "x", b"S"), letter(2, "x", b"S")
    assert by_references(*both, letter(3, subject=b"S")) == "((1)(2)(3))"
    assert by_references(*both, letter(3, "y", b"S"), letter(4, "y", b"S")) == "((1)(2)(3)(4))"
    assert by_references(letter(1), letter(2)) == "(1)(2)"


def test_by_subject():
    letters = [
        letter(1, subject=b"A"),
        letter(2, subject=b"B"),
        letter(3, subject=b"A"),
        letter(4, subject=b"A", sent=0),
    ]
    assert thread(letters, ThreadAlgorithm.ORDEREDSUBJECT) == b"(4 (1)(3))(2)"
    assert thread([], ThreadAlgorithm.ORDEREDSUBJECT) == b""


def test_long_threads():
    letters = [letter(number, str(number - 1)) for number in range(1, 20_000)]
    found = thread(letters, ThreadAlgorithm.REFERENCES)
    assert sorted(map(int, re.findall(rb"\d+", found))) == list(range(1, 20_000))
    assert found.count(b"(") == 1
    backwards = thread([letter(number, str(number + 1)) for number in range(1, 20_000)], ThreadAlgorithm.REFERENCES)
    assert backwards.count(b"(") == 1


def test_joining_long_threads_ends():
    """Each walk up from the end of a long thread is bounded; what is refused stands by itself."""
    chain = [letter(number, str(number - 1)) for number in range(1, MAX_THREAD_DEPTH + 100)]
    small = [letter(10_000, "9999"), letter(10_001, f"{len(chain)} 9999")]
    found = thread([*chain, *small], ThreadAlgorithm.REFERENCES)
    assert found.endswith(b"((10000)(10001))")


def test_messages_that_are_not_there_are_bounded(monkeypatch):
    assert MAX_THREAD_PHANTOMS >= 100_000
    monkeypatch.setattr("shared.imap.thread.MAX_THREAD_PHANTOMS", 2)
    assert (
        by_references(letter(1, "x y"), letter(2, "y"), letter(3, "z"), letter(4, "z"), letter(5, "z 4"))
        == "((1)(2))(3)(4 5)"
    )


@given(
    st.lists(
        st.tuples(
            st.integers(0, 9),
            st.lists(st.integers(0, 9), max_size=4),
            st.sampled_from((b"", b"A", b"B")),
            st.booleans(),
        ),
        max_size=12,
    )
)
def test_every_message_is_in_one_place(messages):
    letters = [
        letter(number, " ".join(map(str, refs)), subject, message_id=f"<{own}@t>", is_reply=is_reply)
        for number, (own, refs, subject, is_reply) in enumerate(messages, 1)
    ]
    for algorithm in ThreadAlgorithm:
        found = thread(letters, algorithm).decode()
        assert sorted(map(int, re.findall(r"\d+", found))) == list(range(1, len(letters) + 1))
        assert found.count("(") == found.count(")")
        assert "()" not in found


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("<a@b>", "<a@b>"),
        ('<"01KF8JCEOCBS0045PS"@xxx.yyy.com>', "<01KF8JCEOCBS0045PS@xxx.yyy.com>"),
        ('<"a\\"b"@c>', '<a"b@c>'),
        ("a@b", ""),
        ("<ab>", ""),
        ("", ""),
        ("<a@b", ""),
    ],
)
def test_normal_ids(written, normal):
    assert normal_id(written) == normal
