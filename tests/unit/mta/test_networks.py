"""Who is trusted, and what replies look like."""

from __future__ import annotations

import pytest

from services.mta import replies
from shared.errors import PermanentFailure
from shared.net import Networks


@pytest.mark.parametrize(
    ("ip", "inside"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("11.0.0.1", False),
        ("fd00::1", True),
        ("fe80::1%eth0", False),
        ("127.0.0.1", False),
    ],
)
def test_networks(ip: str, inside: bool) -> None:
    assert (ip in Networks(["10.0.0.0/8", "fd00::/8"])) is inside
    assert ip not in Networks([])


def test_refusals_are_one_bounded_line_of_ascii() -> None:
    line = replies.refusal(PermanentFailure("a\r\n250 jörg\x00" + "x" * 1000, code=550, status="5.1.1"))
    assert line.startswith(b"550 5.1.1 a 250 j?rg?xx")
    assert len(line) == replies.MAX_REPLY_TEXT and line.isascii() and b"\n" not in line


def test_each_refusal_is_a_fresh_exception() -> None:
    assert replies.NEED_HELO() is not replies.NEED_HELO()


def test_multiline() -> None:
    assert replies.multiline(250, ["a", "b", "c"]) == b"250-a\r\n250-b\r\n250 c"
