"""MIME structures as byte offsets, well-formed and broken."""

from __future__ import annotations

import email
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.message import structure
from shared.message.structure import parse_structure

SIMPLE = b"""\
Content-Type: multipart/mixed; boundary="b"\r
\r
preamble\r
--b\r
\r
first\r
--b\r
Content-Type: text/html; charset=utf-8\r
Content-Transfer-Encoding: Quoted-Printable\r
Content-Disposition: attachment; filename="x y.html"\r
Content-ID: <c@x>\r
Content-Description: what it is\r
Content-MD5: Q2hlY2s=\r
Content-Language: en, de\r
Content-Location: http://example.org/\r
\r
<b>\r
two\r
\r
--b--\r
epilogue\r
"""


def bodies(data: bytes) -> list[bytes]:
    return [data[part.body_start : part.body_end] for part in parse_structure(data).children]


def multipart(body: bytes, boundary: bytes = b"b") -> bytes:
    return b'Content-Type: multipart/mixed; boundary="%b"\r\n\r\n%b' % (boundary, body)


def test_parts_lie_between_delimiter_lines():
    root = parse_structure(SIMPLE)
    assert bodies(SIMPLE) == [b"first", b"<b>\r\ntwo\r\n"]
    assert root.is_multipart
    first, second = root.children
    assert (first.media.type, first.media.subtype, first.encoding) == (b"text", b"plain", b"7bit")
    assert SIMPLE[second.header_start : second.header_end].startswith(b"Content-Type: text/html")
    assert SIMPLE[second.header_start : second.header_end].endswith(b"\r\n\r\n")
    assert (second.octets, second.lines) == (10, 2)


def test_a_part_tells_what_its_header_says():
    part = parse_structure(SIMPLE).children[1]
    assert part.encoding == b"quoted-printable"
    assert part.charset == "utf-8"
    assert part.filename == "x y.html"
    assert part.disposition.kind == b"attachment"
    assert part.content_id == b"<c@x>"
    assert part.description == b"what it is"
    assert part.md5 == b"Q2hlY2s="
    assert part.languages == [b"en", b"de"]
    assert part.location == b"http://example.org/"


def test_a_message_without_fields_is_plain_text():
    part = parse_structure(b"\r\nhello\r\n")
    assert (part.media.type, part.media.subtype, part.body_start, part.lines) == (b"text", b"plain", 2, 1)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"--b\r\n\r\none", [b"one"]),
        (b"--b\r\n\r\none\r\n--b", [b"one", b""]),
        (b"--b\n\none\n--b\n\ntwo\n--b--\n", [b"one", b"two"]),
        (b"--b  \t\r\n\r\none\r\n--b--", [b"one"]),
        (b"--b\r\n\r\none\r\n--bb\r\n--b--", [b"one\r\n--bb"]),
        (b"--b\r\n\r\none\r\n --b\r\n--b--", [b"one\r\n --b"]),
        (b"--b\r\n--b\r\n--b--\r\n", [b"", b""]),
        (b"x\r\n--b--\r\n--b\r\n\r\nafter the end", []),
        (b"--b\r\nA: no end of header\r\n--b--", [b""]),
        (b"no delimiter", []),
        (b"", []),
    ],
)
def test_delimiters(body, expected):
    assert bodies(multipart(body)) == expected


def test_a_boundary_may_start_with_another():
    inner = b'Content-Type: multipart/alternative; boundary="ab"\r\n\r\n--ab\r\n\r\nx\r\n--ab\r\n\r\ny\r\n--ab--\r\n'
    data = multipart(b"--a\r\n" + inner + b"\r\n--a\r\n\r\nz\r\n--a--\r\n", b"a")
    root = parse_structure(data)
    assert [len(child.children) for child in root.children] == [2, 0]


def test_an_outer_delimiter_ends_an_unterminated_inner_multipart():
    inner = b'Content-Type: multipart/alternative; boundary="i"\r\n\r\n--i\r\n\r\nx'
    data = multipart(b"--o\r\n" + inner + b"\r\n--o\r\n\r\nz\r\n--o--\r\n", b"o")
    first, second = parse_structure(data).children
    (leaf,) = first.children
    assert data[leaf.body_start : leaf.body_end] == b"x"
    assert data[second.body_start : second.body_end] == b"z"


@pytest.mark.parametrize(
    "content_type", [b"multipart/mixed", b'multipart/mixed; boundary=""', b"multipart/mixed; boundary=zz"]
)
def test_a_multipart_that_cannot_be_split_is_read_as_text(content_type):
    part = parse_structure(b"Content-Type: " + content_type + b"\r\n\r\n--b\r\n\r\nhello")
    assert (part.media.type, part.children) == (b"text", ())


def test_nested_message_and_digest():
    nested = b"Subject: inside\r\n\r\nbody\r\n"
    data = b"Content-Type: message/rfc822\r\n\r\n" + nested
    root = parse_structure(data)
    assert root.is_message
    assert root.children[0].headers.get(b"subject") == b"inside"
    assert root.lines == 3
    digest = b'Content-Type: multipart/digest; boundary="b"\r\n\r\n--b\r\n\r\n' + nested + b"--b--"
    (child,) = parse_structure(digest).children
    assert child.is_message
    assert child.children[0].headers.get(b"subject") == b"inside"


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (b"attachment; filename=plain.txt", "plain.txt"),
        (b'attachment; filename="a \\"b\\" c"', 'a "b" c'),
        (b"attachment; filename=my letter.doc", "my letter.doc"),
        (b"attachment; filename*=utf-8''%e2%82%ac.txt", "€.txt"),
        (b'attachment; filename*0=one; filename*1="two "; filename*2=three', "onetwo three"),
        (b"attachment; filename*1*=%AC.txt; filename*0*=utf-8''%e2%82", "€.txt"),
        (b"attachment; filename*0*=utf-8''%e2%82%ac; filename*1=\"100%41\"", "€100%41"),
        (b'attachment; filename="=?utf-8?q?caf=C3=A9?="', "café"),
        (b'attachment (a comment); filename (another) = "x"', "x"),
        (b'attachment; filename="unclosed', "unclosed"),
        (b'attachment; filename="semi;colon"; size=3', "semi;colon"),
        (b"attachment; filename = x ; size=3", "x"),
        (b"attachment; FILENAME=x", "x"),
        (b"attachment", None),
    ],
)
def test_file_names(value, name):
    assert parse_structure(b"Content-Disposition: " + value + b"\r\n\r\n").filename == name


@pytest.mark.parametrize(
    ("value", "media"),
    [
        (b"TEXT/HTML", (b"text", b"html", ())),
        (
            b"text/plain; charset=utf-8 format=flowed",
            (b"text", b"plain", ((b"charset", b"utf-8"), (b"format", b"flowed"))),
        ),
        (b"text/plain;charset=us-ascii (Plain text)", (b"text", b"plain", ((b"charset", b"us-ascii"),))),
        (b"text / plain ; a = b", (b"text", b"plain", ((b"a", b"b"),))),
        (b"text", (b"text", b"plain", ((b"charset", b"us-ascii"),))),
        (b"", (b"text", b"plain", ((b"charset", b"us-ascii"),))),
        (b";;;", (b"text", b"plain", ((b"charset", b"us-ascii"),))),
        (b"text/plain; charset=", (b"text", b"plain", ((b"charset", b""),))),
    ],
)
def test_media_types(value, media):
    found = parse_structure(b"Content-Type: " + value + b"\r\n\r\n").media
    assert (found.type, found.subtype, found.params) == media


def test_depth_is_limited():
    data = b"Content-Type: message/rfc822\r\n\r\n" * 500
    parts = list(parse_structure(data).walk())
    assert len(parts) == structure.MAX_DEPTH + 1
    assert parts[-1].media == structure.OCTET_STREAM


def test_number_of_parts_is_limited(monkeypatch):
    monkeypatch.setattr(structure, "MAX_PARTS", 5)
    data = multipart(b"--b\r\n\r\nx\r\n" * 20)
    parts = list(parse_structure(data).walk())
    assert len(parts) <= 6
    assert parts[-1].body_end == len(data)


def test_number_of_candidates_is_limited(monkeypatch):
    monkeypatch.setattr(structure, "MAX_DELIMITER_CANDIDATES", 5)
    data = multipart(b"--b\r\n\r\nx\r\n" + b"--bX\r\n" * 20 + b"--b\r\n\r\nunseen")
    assert len(parse_structure(data).children) == 1


def test_header_bytes_are_limited(monkeypatch):
    monkeypatch.setattr(structure, "MAX_ALL_HEADERS_BYTES", 100)
    part = b"Content-Type: text/html\r\n\r\n"
    data = multipart(b"".join(b"--b\r\n" + part for _ in range(9)))
    types = [child.media.subtype for child in parse_structure(data).children]
    assert types[0] == b"html"
    assert types[-1] == b"plain"


def test_other_buffers_give_the_same(tmp_path):
    import mmap

    file = tmp_path / "m"
    file.write_bytes(SIMPLE)
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        found = [(p.header_start, p.body_start, p.body_end, p.lines) for p in parse_structure(mapped).walk()]
    expected = [(p.header_start, p.body_start, p.body_end, p.lines) for p in parse_structure(SIMPLE).walk()]
    viewed = [(p.header_start, p.body_start, p.body_end, p.lines) for p in parse_structure(memoryview(SIMPLE)).walk()]
    assert found == viewed == expected


def test_agrees_with_the_email_package():
    message = EmailMessage()
    message.set_content("hello\n")
    message.add_alternative("<p>hello</p>", subtype="html")
    message.add_attachment(b"x" * 1000, maintype="application", subtype="pdf", filename="a.pdf")
    data = message.as_bytes().replace(b"\n", b"\r\n")
    ours = [(p.media.type + b"/" + p.media.subtype).decode() for p in parse_structure(data).walk()]
    assert ours == [part.get_content_type() for part in email.message_from_bytes(data).walk()]


PIECES = st.sampled_from(
    [
        b"Content-Type: multipart/mixed; boundary=a\r\n",
        b"Content-Type: multipart/mixed; boundary=aa\r\n",
        b"Content-Type: multipart/digest; boundary=b\r\n",
        b"Content-Type: message/rfc822\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"--a",
        b"--aa",
        b"--b",
        b"--",
        b" ",
        b"text",
        b"Subject: x\r\n",
        b"\0",
    ]
)
BROKEN = st.lists(PIECES, max_size=40).map(b"".join) | st.binary(max_size=200)


@given(BROKEN)
def test_offsets_are_in_range_and_nested(data):
    root = parse_structure(data)
    assert (root.header_start, root.body_end) == (0, len(data))
    for part in root.walk():
        assert 0 <= part.header_start <= part.body_start <= part.body_end <= len(data)
        at = part.body_start
        for child in part.children:
            assert at <= child.header_start
            assert child.body_end <= part.body_end
            at = child.body_end
        if part.is_message:
            assert (part.children[0].header_start, part.children[0].body_end) == (part.body_start, part.body_end)


@given(st.lists(st.from_regex(rb"[a-z \r\n]{0,40}", fullmatch=True), min_size=1, max_size=6))
def test_built_multiparts_come_apart_again(texts):
    data = multipart(b"".join(b"--b\r\n\r\n" + text + b"\r\n" for text in texts) + b"--b--\r\n")
    assert bodies(data) == texts
