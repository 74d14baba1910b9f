"""Scripts and messages made to take long: each run ends soon, with the message kept."""

from __future__ import annotations

import time

import pytest

from shared.sieve import Limits, check
from tests.unit.sieve.harness import MESSAGE, result

MAX_SECONDS = 10.0  # of CPU: unlimited, each of these would take minutes
LIMITS = Limits(work=32 * 1024 * 1024)
MANY_FIELDS = b"".join(b"Received: from a by b; Fri, 2 Feb 2018 22:20:%02d -0500\r\n" % (n % 60) for n in range(4900))
MANY_PARTS = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\nX: y\r\n\r\nx\r\n" * 9000


@pytest.mark.parametrize(
    ("required", "command", "message"),
    [
        ("date", 'if date "received" "year" "x" { }', MANY_FIELDS + MESSAGE),
        ("mime", 'if header :mime :anychild "x" "z" { }', MANY_PARTS),
        ("editheader", 'deleteheader "x-none" "x";', MANY_FIELDS + MESSAGE),
        ("body", 'if body :raw :matches "*a*b*c*d*e*f?*" { }', MESSAGE + b"abcde" * 800_000),
        ("relational", 'if header :value "gt" "received" "zzz" { }', MANY_FIELDS + MESSAGE),
        ("foreverypart", "foreverypart { foreverypart { } }", MANY_PARTS),
    ],
)
def test_work_is_limited(required: str, command: str, message: bytes) -> None:
    started = time.process_time()
    found = result(f'require ["{required}"];\n' + command * 5000, message, limits=LIMITS)
    assert time.process_time() - started < MAX_SECONDS
    assert found.error is not None
    assert found.actions[0].message.render() == message  # type: ignore[union-attr]


def test_regular_expressions_are_limited_in_number() -> None:
    script = 'require "regex";' + 'if header :regex "a" "a{900}" { }' * 201
    assert [error.message for error in check(script)] == ["a script has at most 200 regular expressions"]
