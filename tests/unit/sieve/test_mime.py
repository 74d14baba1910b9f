"""MIME parts: looked at, gone through, replaced, enclosed, their text taken out (RFC 5703)."""

from __future__ import annotations

import pytest

from shared.message.structure import parse_structure
from shared.sieve import Limits
from shared.sieve.actions import Enclose, FileInto, Keep, Redirect, ReplacePart
from tests.unit.sieve.harness import actions, holds, result

MESSAGE = b"""From: a@b.example
To: c@d.example
Subject: An =?utf-8?q?=C3=A4=?= offer
X-Other: kept
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="xx"

preamble
--xx
Content-Type: multipart/alternative; boundary=yy

--yy
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

caf=E9 text
--yy
Content-Type: text/html

<b>html</b>
--yy--
--xx
Content-Type: application/x-msdownload; name="evil.exe"
Content-Disposition: attachment; filename="evil.exe"
Content-Transfer-Encoding: base64

AAAA
--xx
Content-Type: message/rfc822

From: inner@e.example
Subject: inner

inner text
--xx--
""".replace(b"\n", b"\r\n")


@pytest.mark.parametrize(
    ("test", "outcome"),
    [
        ('header :mime :type "content-type" "multipart"', True),
        ('header :mime :contenttype "content-type" "multipart/mixed"', True),
        ('header :mime :subtype "content-type" "mixed"', True),
        ('header :mime :param "boundary" "content-type" "xx"', True),
        ('header :mime :type "content-type" "text"', False),
        ('header :mime :anychild :type "content-type" "text"', True),
        ('header :mime :anychild :contenttype "content-type" "TEXT/html"', True),
        (
            'header :mime :anychild :param ["filename", "name"] :matches ["x", "content-disposition"] "*.exe"',
            True,
        ),
        ('header :mime :anychild :type "content-disposition" "attachment"', True),
        ('header :mime :anychild :subtype "content-disposition" ""', True),
        ('header :mime :anychild "subject" "inner"', True),
        ('header :mime "subject" "inner"', False),
        ('address :mime :anychild :localpart "from" "inner"', True),
        ('address :mime :localpart "from" "inner"', False),
        ('exists :mime :anychild "content-disposition"', True),
        ('exists :mime "content-disposition"', False),
        ('exists "content-disposition"', False),
        ('header :mime :type "x-other" ""', True),  # §4.1: fields that aren't MIME's have no type
        ('header :mime :contenttype :contains "x-other" "k"', False),
    ],
)
def test_mime_tests(test: str, outcome: bool) -> None:
    assert holds(test, "mime", message=MESSAGE) is outcome


def types(script: str) -> list[str]:
    found = result(f'require ["foreverypart", "mime", "variables", "fileinto"]; {script}', MESSAGE)
    assert found.error is None, found.error
    return [action.mailbox for action in found.actions if isinstance(action, FileInto)]


FILE_TYPE = 'if header :mime :contenttype :matches "content-type" "*/*" { fileinto "${1}/${2}"; }'


def test_every_part_in_order() -> None:
    assert types(f"foreverypart {{ {FILE_TYPE} }}") == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "application/x-msdownload",
        "message/rfc822",
    ]


def test_parts_of_the_present_part() -> None:
    script = f"""foreverypart {{
        if header :mime :subtype "content-type" "alternative" {{ foreverypart {{ {FILE_TYPE} }} break; }}
    }}"""
    assert types(script) == ["text/plain", "text/html"]


def test_breaking_out_of_an_outer_loop() -> None:
    script = f'foreverypart :name "a" {{ foreverypart :name "b" {{ {FILE_TYPE} break :name "a"; }} }}'
    assert types(script) == ["multipart/alternative"]


def test_plain_tests_in_a_loop_see_the_message() -> None:
    assert types('foreverypart { if header "x-other" "kept" { fileinto "yes"; break; } }') == ["yes"]


def test_loops_are_limited() -> None:
    script = 'require "foreverypart";' + "foreverypart {" * 5 + "}" * 5
    with pytest.raises(Exception, match="nested more than 4 levels"):
        result(script, MESSAGE)
    script = 'require "foreverypart";' + "foreverypart {" * 4 + "keep;" + "}" * 4
    many = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 5000
    found = result(script, many, limits=Limits(steps=1000))
    assert found.error is not None
    assert "1000 commands and tests" in found.error.message


def test_replacing_parts() -> None:
    script = """require ["foreverypart", "mime", "replace", "fileinto"];
    foreverypart {
        if header :mime :param "filename" :matches "content-disposition" "*.exe" {
            replace "removed é";
            fileinto "within";
        }
    }
    if not header :mime :anychild :param "filename" :matches "content-disposition" "*.exe" { fileinto "after"; }
    """
    within, after = result(script, MESSAGE).actions
    assert isinstance(within, FileInto) and isinstance(after, FileInto)
    assert within.message.render() == after.message.render()
    data = after.message.render()
    root = parse_structure(data)
    assert [child.media.subtype for child in root.children] == [b"alternative", b"plain", b"rfc822"]
    second = root.children[1]
    assert data[second.body_start : second.body_end] == "removed é".encode()
    assert data[: root.children[1].header_start] == MESSAGE[: root.children[1].header_start]
    assert after.message.edits == (ReplacePart("2", "text/plain"),)


def test_replacing_by_a_mime_part() -> None:
    script = """require ["foreverypart", "mime", "replace"];
    foreverypart { if header :mime :subtype "content-type" "html" {
        replace :mime text:
Content-Type: text/enriched

new
.
; } }"""
    root = parse_structure(result(script, MESSAGE).message.render())
    assert [part.media.subtype for part in root.children[0].children] == [b"plain", b"enriched"]


def test_replacing_the_whole_message() -> None:
    script = 'require ["replace", "enotify"]; replace :subject "É new" :from "Me <me@b.example>" "text";'
    data = result(script, MESSAGE).message.render()
    assert data == (
        b"From: Me <me@b.example>\r\nOriginal-From: a@b.example\r\nTo: c@d.example\r\n"
        b"Subject: =?utf-8?B?w4kgbmV3?=\r\nOriginal-Subject: An =?utf-8?q?=C3=A4=?= offer\r\n"
        b"X-Other: kept\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: 8bit\r\n\r\ntext"
    )


def test_a_replaced_message_may_be_of_several_people() -> None:
    """RFC 5703 §5: `:from` is a mailbox-list."""
    script = 'require "replace"; replace :from "Me <me@b.example>, Jürgen <j@b.example>" "text";'
    assert (
        result(script, MESSAGE)
        .message.render()
        .startswith(
            b'From: "Me" <me@b.example>,\r\n =?utf-8?B?SsO8cmdlbg==?= <j@b.example>\r\nOriginal-From: a@b.example\r\n'
        )
    )
    with pytest.raises(Exception, match="no list of mail addresses"):
        result('require "replace"; replace :from "me@b.example, nobody" "text";')


@pytest.mark.parametrize("tag", [':subject "New"', ':from "me@b.example"'])
def test_a_mime_entity_brings_its_own_header(tag: str) -> None:
    with pytest.raises(Exception, match='has no use with ":mime"'):
        result(f'require "replace"; replace :mime {tag} "text";')


def test_enclosing() -> None:
    script = """require ["enclose", "fileinto", "copy"];
    fileinto :copy "before";
    enclose :subject "Warning" :headers ["X-Other"] "look out";
    redirect :copy "a@b.example";
    """
    before, redirected, kept = result(script, MESSAGE).actions
    assert isinstance(before, FileInto) and before.message.render() == MESSAGE
    assert isinstance(redirected, Redirect) and redirected.message.render() == MESSAGE
    assert isinstance(kept, Keep) and kept.message.edits == (Enclose("Warning"),)
    data = kept.message.render()
    root = parse_structure(data)
    assert root.media.subtype == b"mixed"
    assert root.headers.get(b"subject") == b"Warning"
    assert root.headers.get(b"x-other") == b"kept"
    assert root.headers.get(b"from") == b"roadrunner+fast@acme.example.com"
    assert root.headers.get(b"date") == b"Mon, 23 Nov 2026 14:30:05 +0000"
    text, inner = root.children
    assert data[text.body_start : text.body_end] == b"look out"
    assert data[inner.body_start : inner.body_end] == MESSAGE


def test_enclosing_after_edits_encloses_the_edited_message() -> None:
    script = 'require ["enclose", "editheader"]; addheader "X-A" "1"; enclose "x"; addheader "X-B" "2";'
    data = result(script, MESSAGE).message.render()
    assert data.startswith(b"X-B: 2\r\n")
    assert b"\r\n\r\nX-A: 1\r\nFrom: a@b.example" in data


def test_extracting_text() -> None:
    script = """require ["foreverypart", "mime", "extracttext", "variables", "fileinto"];
    foreverypart {
        if header :mime :contenttype "content-type" "text/plain" {
            extracttext :first 4 :upper "text"; fileinto "${text}"; break;
        }
    }"""
    assert actions(script, MESSAGE) == ['file into "CAFÉ"']


def test_text_of_an_unknown_charset_is_empty() -> None:
    """RFC 5703 §7."""
    script = """require ["foreverypart", "extracttext", "variables", "fileinto"];
    foreverypart { extracttext "text"; fileinto "<${text}>"; }"""
    message = b"Content-Type: text/plain; charset=%s\r\n\r\nabc"
    assert actions(script, message % b"x-unknown") == ['file into "<>"']
    assert actions(script, message % b"koi8-r") == ['file into "<abc>"']


def test_extracttext_needs_a_loop() -> None:
    with pytest.raises(Exception, match='"extracttext" is for "foreverypart" only'):
        result('require ["extracttext", "variables"]; extracttext "x";')


def test_a_loop_does_not_go_into_what_was_replaced() -> None:
    script = """require ["foreverypart", "mime", "replace", "fileinto", "copy"];
    foreverypart {
        if header :mime :subtype "content-type" "alternative" { replace "gone"; }
        elsif header :mime :subtype "content-type" "html" { fileinto :copy "html"; }
    }"""
    assert [type(action) for action in result(script, MESSAGE).actions] == [Keep]


def test_a_loop_ends_when_the_whole_message_is_replaced() -> None:
    script = """require ["foreverypart", "replace", "imap4flags", "variables"];
    foreverypart { set "seen" "${seen}x"; replace "all of it"; }
    addflag "${seen}";"""
    (kept,) = result(script, MESSAGE).actions
    assert isinstance(kept, Keep) and kept.flags == ("x",)
    assert kept.message.render().endswith(b"\r\n\r\nall of it")
