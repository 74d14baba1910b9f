"""RFC 5228: its tests, match types, comparators, actions and the implicit keep."""

from __future__ import annotations

import pytest

from shared.sieve import Envelope, Limits
from tests.unit.sieve.harness import MESSAGE, actions, holds, result


@pytest.mark.parametrize(
    ("test", "outcome"),
    [
        ("true", True),
        ("false", False),
        ("not false", True),
        ("allof(true, true)", True),
        ("allof(true, false)", False),
        ("anyof(false, true)", True),
        ("anyof(false, false)", False),
        ("not anyof(not true, allof(true, not false))", False),
        ('header "x-priority" "3"', True),
        ('header :is "X-PRIORITY" ["1", "3"]', True),
        ('header :is "x-priority" ""', False),
        ('header :contains "x-priority" ""', True),
        ('header :contains "x-none" ""', False),
        ('header "subject" "i have a présent for you"', True),
        ('header :is :comparator "i;octet" "subject" "i have a présent for you"', False),
        ('header :is :comparator "i;octet" "subject" "I have a présent for you"', True),
        ('header :contains ["x-none", "subject"] "PRESENT"', False),
        ('header :contains ["x-none", "subject"] "PRéSENT"', True),
        ('header :matches "subject" "i have*"', True),
        ('header :matches "subject" "i have"', False),
        ('header :matches "subject" "*you"', True),
        ('header :matches "subject" "?*you"', True),
        ('header :matches "subject" "*a pr?sent*"', True),
        (r'header :matches "subject" "i \\have*you"', True),
        (r'header :matches "subject" "i\\*"', False),
        ('header :is "from:" "x"', False),
        ('header :is "not a name" "x"', False),
        ('exists ["from", "TO", "x-priority"]', True),
        ('exists ["from", "x-none"]', False),
        ("size :over 100", True),
        ("size :under 100", False),
        ("size :over 1M", False),
        ('address "from" "coyote@desert.example.org"', True),
        ('address :is :localpart "from" "COYOTE"', True),
        ('address :domain "from" "desert.example.org"', True),
        ('address :domain :contains ["to", "cc"] "example.net"', True),
        ('address :all :contains "from" "Wile"', False),
        ('address :is ["from"] ["a@b.example", "coyote@desert.example.org"]', True),
        ('address "x-none" ""', False),
    ],
)
def test_tests(test: str, outcome: bool) -> None:
    assert holds(test) is outcome


def test_size_at_the_limit_is_neither_over_nor_under() -> None:
    assert not holds(f"size :over {len(MESSAGE)}")
    assert not holds(f"size :under {len(MESSAGE)}")
    assert holds(f"size :over {len(MESSAGE) - 1}")


@pytest.mark.parametrize(
    ("test", "outcome"),
    [
        ('envelope "from" "coyote@desert.example.org"', True),
        ('envelope :localpart "to" "roadrunner+fast"', True),
        ('envelope :domain :matches "to" "*.example.com"', True),
        ('envelope :all ["from", "to"] "nobody@example.org"', False),
    ],
)
def test_envelope(test: str, outcome: bool) -> None:
    assert holds(test, "envelope") is outcome


@pytest.mark.parametrize("part", ["", ":all", ":localpart", ":domain"])
def test_the_null_reverse_path_is_empty_whatever_the_part(part: str) -> None:
    assert holds(f'envelope {part} "from" ""', "envelope", envelope=Envelope("", "a@b.example"))


@pytest.mark.parametrize(
    ("comparator", "value", "key", "outcome"),
    [
        ("i;octet", "Abc", "abc", False),
        ("i;ascii-casemap", "Abc", "aBC", True),
        ("i;ascii-casemap", "É", "é", False),
        ("i;unicode-casemap", "É", "é", True),
        ("i;unicode-casemap", "e\u0301", "é", True),
        ("i;ascii-numeric", "10", "010", True),
        ("i;ascii-numeric", "10abc", "10", True),
        ("i;ascii-numeric", "abc", "xyz", True),
        ("i;ascii-numeric", "0", "", False),
        ("i;ascii-numeric", "99999999999999999999999999999999", "99999999999999999999999999999998", False),
    ],
)
def test_comparators(comparator: str, value: str, key: str, outcome: bool) -> None:
    message = f"X-V: {value}\r\n\r\n".encode()
    required = ["comparator-" + comparator]
    assert holds(f'header :comparator "{comparator}" "x-v" "{key}"', *required, message=message) is outcome


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("", ["implicit keep"]),
        ("keep;", ["keep"]),
        ("keep; keep;", ["keep"]),
        ("discard;", ["discard"]),
        ("discard; keep;", ["discard", "keep"]),
        ("stop; discard;", ["implicit keep"]),
        ('redirect "a@b.example";', ["redirect to <a@b.example>"]),
        ('redirect "A <a@b.example>"; keep;', ["redirect to <a@b.example>", "keep"]),
        ('redirect "a@b.example"; redirect "A@B.example";', ["redirect to <a@b.example>"]),
        ('require "fileinto"; fileinto "x"; fileinto "x"; fileinto "y";', ['file into "x"', 'file into "y"']),
        ('require "fileinto"; fileinto "inbox"; keep;', ['file into "inbox"']),
        ("if false { discard; } elsif true { keep; } else { stop; }", ["keep"]),
        ("if false { discard; } elsif false { discard; } else { keep; }", ["keep"]),
        ("if true { if true { if true { discard; stop; } } } keep;", ["discard"]),
    ],
)
def test_actions(script: str, expected: list[str]) -> None:
    assert actions(script) == expected


def test_the_rfcs_long_example() -> None:
    """RFC 5228 §9."""
    script = """
    require ["fileinto"];
    if header :is "Sender" "owner-ietf-mta-filters@imc.org" {
        fileinto "filter";
    } elsif address :DOMAIN :is ["From", "To"] "example.com" {
        keep;
    } elsif anyof (NOT address :all :contains ["To", "Cc", "Bcc"] "me@example.com",
                   header :matches "subject" ["*make*money*fast*", "*university*dipl*mas*"]) {
        fileinto "spam";
    } else {
        fileinto "personal";
    }
    """

    def sent(*lines: str) -> bytes:
        return "\r\n".join([*lines, "", ""]).encode()

    assert actions(script, sent("Sender: owner-ietf-mta-filters@imc.org")) == ['file into "filter"']
    assert actions(script, sent("From: a@example.com")) == ["keep"]
    assert actions(script, sent("From: a@b.example")) == ['file into "spam"']
    assert actions(script, sent("Cc: me@example.com.test", "Subject: x")) == ['file into "personal"']
    assert actions(script, sent("Cc: me@example.com.test", "Subject: MAKE MONEY FAST")) == ['file into "spam"']


def test_limits_end_in_an_implicit_keep() -> None:
    addresses = "".join(f'redirect "a{n}@b.example";' for n in range(9))
    assert actions(addresses) == ["implicit keep", "error: a script may redirect a message 8 times"]
    filed = 'require "fileinto";' + "".join(f'fileinto "{n}";' for n in range(40))
    assert actions(filed) == ["implicit keep", "error: a script may take 32 actions"]
    found = result("keep;\n" * 10, limits=Limits(steps=5))
    assert found.error is not None
    assert (found.error.line, found.error.column) == (6, 1)
    assert "5 commands and tests" in found.error.message


def test_a_broken_message_can_be_tested() -> None:
    for message in (b"", b"\r\n", b"no header at all", b"\0\xff\r\n\r\n", b": x\r\n" * 5, b"To: <<<>>,,;(:\r\n"):
        assert actions('if anyof(header :contains "to" "x", address "to" "x", size :over 1K) { discard; }', message)


def test_the_trace_tells_what_happened_and_why() -> None:
    found = result('if allof(header :contains "subject" "PRéSENT",\n  not size :over 1M) { redirect "a@b.example"; }')
    assert [str(event) for event in found.trace] == [
        """   1:   header :contains "subject" "PRéSENT" -> true  (saw 'I have a présent for you')""",
        f"   2:     size :over 1M -> false  (the size is {len(MESSAGE)})",
        "   2:   not size :over 1M -> true",
        '   1: allof(header :contains "subject" "PRéSENT", not size :over 1M) -> true',
        '   2:   redirect "a@b.example"',
        "        redirect to <a@b.example>",
    ]


def test_an_error_within_a_test_has_its_place() -> None:
    script = 'require "extlists";\nif allof(true,\n  header :list "subject" "none") { discard; }'
    error = result(script).error
    assert error is not None
    assert (error.line, error.column, error.message) == (3, 3, 'there is no list "none"')
