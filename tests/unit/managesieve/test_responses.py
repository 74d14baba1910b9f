"""ManageSieve responses, as they go over the wire."""

from __future__ import annotations

from shared.managesieve import response
from shared.managesieve.response import Code


def test_status() -> None:
    assert response.ok() == b"OK\r\n"
    assert response.ok("Done") == b'OK "Done"\r\n'
    assert response.no("No such script", Code.NONEXISTENT) == b'NO (NONEXISTENT) "No such script"\r\n'
    assert response.bye("Too many", Code.TRY_LATER) == b'BYE (TRYLATER) "Too many"\r\n'
    assert response.no("line 1: a\r\nline 2: b") == b"NO {20}\r\nline 1: a\r\nline 2: b\r\n"
    assert response.ok_tag('a"b', "Done") == b'OK (TAG "a\\"b") "Done"\r\n'
    assert response.ok_sasl(b"cnNwYXV0aD0=") == b'OK (SASL "cnNwYXV0aD0=")\r\n'
    assert response.challenge(b"") == b'""\r\n'


def test_capabilities() -> None:
    written = response.capabilities(
        implementation="Packetboat",
        mechanisms=["PLAIN"],
        extensions=["fileinto", "vacation"],
        starttls=True,
        max_redirects=8,
        owner="alice@packetboat.test",
    )
    assert written.decode().splitlines() == [
        '"IMPLEMENTATION" "Packetboat"',
        '"SASL" "PLAIN"',
        '"SIEVE" "fileinto vacation"',
        '"NOTIFY" "mailto"',
        '"MAXREDIRECTS" "8"',
        '"VERSION" "1.0"',
        '"OWNER" "alice@packetboat.test"',
        '"STARTTLS"',
    ]


def test_scripts() -> None:
    assert response.script_list(["a", 'b "c"'], "a") == b'"a" ACTIVE\r\n"b \\"c\\""\r\n'
    assert response.script_body(b"keep;\r\n") == b"{7}\r\nkeep;\r\n\r\n"
    assert response.string("x" * 1025) == b"{1025}\r\n" + b"x" * 1025
