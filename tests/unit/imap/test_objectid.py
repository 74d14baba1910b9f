"""EMAILID and THREADID."""

from __future__ import annotations

import re

from shared.ids import new_id
from shared.imap.objectid import email_id, thread_id

# objectid = 1*255(ALPHA / DIGIT / "_" / "-")    RFC 8474 §7
OBJECT_ID = re.compile(rb"[A-Za-z0-9_-]{1,255}")


def test_ids_follow_the_grammar() -> None:
    entry = new_id()
    for found in (email_id(entry), thread_id(entry, "", ""), thread_id(entry, "<ä@\u2028>", "")):
        assert OBJECT_ID.fullmatch(found)


def test_a_thread_is_what_has_the_same_root() -> None:
    first = thread_id("A", "<1@a>", "")
    assert thread_id("B", "<2@a>", "<1@a>") == first
    assert thread_id("C", "<3@a>", "<1@a> <2@a>") == first
    assert thread_id("D", "<4@a>", "<2@a>") != first


def test_without_ids_a_message_is_a_thread_of_its_own() -> None:
    assert thread_id("A", "", "") != thread_id("B", "", "")
    assert thread_id("A", "", "") == thread_id("A", "", "")
