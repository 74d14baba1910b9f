"""What is enabled by ENABLE and by use, and what that rules out (RFC 5161, RFC 7162 §3.1, RFC 9586)."""

from __future__ import annotations

import pytest

from shared.imap.command_parser import BadCommand, parse_command
from shared.imap.state import ENABLED_BY_NAME, Extension, enabled_by, needs_numbers, needs_qresync


@pytest.mark.parametrize(
    ("text", "enables"),
    [
        (b"SELECT x", False),
        (b"SELECT x (CONDSTORE)", True),
        (b"EXAMINE x (QRESYNC (1 1))", True),
        (b"FETCH 1 FLAGS", False),
        (b"FETCH 1 (FLAGS MODSEQ)", True),
        (b"UID FETCH 1 FLAGS (CHANGEDSINCE 1)", True),
        (b"STORE 1 FLAGS ()", False),
        (b"STORE 1 (UNCHANGEDSINCE 0) FLAGS ()", True),
        (b"STATUS x (MESSAGES)", False),
        (b"STATUS x (HIGHESTMODSEQ)", True),
        (b"NOOP", False),
    ],
)
def test_condstore_is_enabled_by_use(text: bytes, enables: bool) -> None:
    assert enabled_by(parse_command(b"a " + text)) is (Extension.CONDSTORE if enables else Extension.NONE)


def test_qresync_brings_condstore() -> None:
    assert Extension.CONDSTORE in ENABLED_BY_NAME[b"QRESYNC"]


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        (b"FETCH 1 FLAGS", True),
        (b"UID FETCH 1 FLAGS", False),
        (b"STORE 1 FLAGS ()", True),
        (b"COPY 1 x", True),
        (b"UID MOVE 1 x", False),
        (b"SEARCH ALL", True),
        (b"UID SEARCH ALL", False),
        (b"UID SEARCH NOT 1:2", True),
        (b"UID SEARCH OR UID 1 (SEEN 3)", True),
        (b"SORT (DATE) UTF-8 ALL", True),
        (b"UID THREAD REFERENCES UTF-8 ALL", False),
        (b"SELECT x (QRESYNC (1 1))", False),
        (b"SELECT x (QRESYNC (1 1 (1 2)))", True),
        (b"NOOP", False),
        (b"EXPUNGE", False),
        (b"CLOSE", False),
    ],
)
def test_sequence_numbers(text: bytes, needs: bool) -> None:
    assert needs_numbers(parse_command(b"a " + text)) is needs


def test_what_needs_qresync() -> None:
    assert needs_qresync(parse_command(b"a SELECT x (QRESYNC (1 1))"))
    assert needs_qresync(parse_command(b"a UID FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)"))
    assert not needs_qresync(parse_command(b"a SELECT x (CONDSTORE)"))


@pytest.mark.parametrize(
    "text",
    [
        b"FETCH 1 FLAGS ()",
        b"FETCH 1 FLAGS (CHANGEDSINCE)",
        b"FETCH 1 FLAGS (CHANGEDSINCE 0)",
        b"FETCH 1 FLAGS (CHANGEDSINCE 1 CHANGEDSINCE 2)",
        b"FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)",
        b"UID FETCH 1 FLAGS (VANISHED)",
        b"UID FETCH 1 FLAGS (NOSUCH 1)",
        b"STORE 1 (UNCHANGEDSINCE 9223372036854775808) FLAGS ()",
        b"STORE 1 (CHANGEDSINCE 1) FLAGS ()",
        b"STORE 1 (UNCHANGEDSINCE 1)FLAGS ()",
    ],
)
def test_bad(text: bytes) -> None:
    with pytest.raises(BadCommand):
        parse_command(b"a " + text)
