"""What conformance suites ask for beyond the RFCs' examples."""

from __future__ import annotations

import pytest

from shared.sieve import Envelope
from tests.unit.sieve.harness import actions, holds, result

MULTIPART = b"""Content-Type: multipart/mixed; boundary=o

Before
--o
Content-Type: message/rfc822

From: Someone Else
Subject: folded
 line

Hi
--o
Content-Type: text/html
Content-Transfer-Encoding: unknown

lost
--o
Content-Type: application/xhtml+xml

<html><body>shown</body></html>
--o--
After
""".replace(b"\n", b"\r\n")


@pytest.mark.parametrize(
    ("test", "outcome"),
    [
        ('body :content "multipart" :contains "Before"', True),
        ('body :content "multipart" :contains "After"', True),
        ('body :content "multipart" :contains "--o"', False),
        ('body :content "message/rfc822" :is text:\nFrom: Someone Else\nSubject: folded\n line\n.\n', True),
        ('body :contains "lost"', False),
        ('body :contains "shown"', True),
        ('body :contains "<body>"', False),
    ],
)
def test_bodies(test: str, outcome: bool) -> None:
    assert holds(test, "body", message=MULTIPART) is outcome


@pytest.mark.parametrize(
    ("sender", "test", "outcome"),
    [
        ("@a.example,@b.example:joe@example.org", ':localpart "from" "joe"', True),
        ("joe@@example.org", ':domain :contains "from" "example"', False),
        ("joe@", ':domain :contains "from" ""', False),
        ('"a b"@example.org', ':domain "from" "example.org"', True),
        ("MAILER-DAEMON", '"from" "mailer-daemon"', True),
        ("", ':domain "from" ""', True),
    ],
)
def test_paths(sender: str, test: str, outcome: bool) -> None:
    assert holds(f"envelope {test}", "envelope", envelope=Envelope(sender, "me@example.com")) is outcome


def test_size_is_that_of_the_edited_message() -> None:
    message = b"X: y\r\n\r\nbody\r\n"
    edit = 'addheader "A" "b";'  # six octets and a line end
    assert holds(f"size :over {len(message) + 5}", "editheader", before=edit, message=message)
    assert not holds(f"size :over {len(message) + 6}", "editheader", before=edit, message=message)


def test_control_characters_survive_in_added_fields() -> None:
    found = result('require ["editheader", "encoded-character"]; addheader "X-Bell" "ring ${hex:07}!";')
    rendered = found.message.render()
    assert b"\x07" not in rendered
    test = 'header "x-bell" "ring ${hex:07}!"'
    assert holds(test, "encoded-character", message=rendered)


def test_vacation_twice_is_an_error_even_when_nothing_is_sent() -> None:
    bulk = b"Precedence: bulk\r\nTo: roadrunner+fast@acme.example.com\r\n\r\nx\r\n"
    twice = 'require "vacation"; vacation "a"; vacation "b";'
    assert actions(twice, bulk) == ["implicit keep", "error: vacation can't be done twice"]
    refused = 'require ["vacation", "reject"]; vacation "a"; reject "b";'
    assert actions(refused, bulk)[1].startswith("error: ")


def test_nobody_is_notified_of_automatic_mail() -> None:
    notify = 'require "enotify"; notify "mailto:a@example.org";'
    assert actions(notify, b"Auto-Submitted: auto-generated\r\n\r\nx\r\n") == ["implicit keep"]
    assert actions(notify, b"Auto-Submitted: no\r\n\r\nx\r\n") == ["notify mailto:a@example.org", "implicit keep"]


def test_encoded_commas_part_addresses() -> None:
    (action, _) = result('require "enotify"; notify "mailto:a@example.org%2cb@example.org";').actions
    assert getattr(action, "mailto").to == ("a@example.org", "b@example.org")  # noqa: B009
