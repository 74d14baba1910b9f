"""The prefilter never says no where the text is."""

from __future__ import annotations

import base64
import quopri
import sys
from encodings.aliases import aliases
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.message import prefilter as prefilter_module
from shared.message.charset import codec_for
from shared.message.collation import casemap
from shared.message.prefilter import MAX_WORD, PLAIN_CHARSETS, prefilter
from shared.message.text import contains_text, searchable_text

NEEDLES = (
    "quarterdeck",
    "Kelvin",
    "zürichsee",
    "a=b",
    "two words",
    "İstanbul",
    "istanbuli",
    "x-y_z",
    "3d=3D",
    "foo.bar",
    "tempest",
    "item 2026",
    "20261123",
    "cafe",
)
# What the collation takes for the ASCII character, alone or with what else it holds.
OTHERS = {"i": "ıⅣ", "s": "ſ", "k": "\u212a", "t": "ｔ™Ⓣ", "m": "Ｍ™", "e": "éｅ", "c": "ℂ©", "2": "²½", "a": "Ａａ𝐀"}
CHARSETS = ("utf-8", "us-ascii", "iso-8859-1", "windows-1252", "shift_jis", "gb18030", "utf-16", "utf-7", "iso-2022-jp")
CHARSETS += ("cp037", "x-unknown", "hz")


def encode(text: str, charset: str) -> bytes:
    try:
        return text.encode(charset, "replace")
    except LookupError:
        return text.encode()


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Words around a needle in any case, perhaps broken by a line."""
    needle = draw(st.sampled_from(NEEDLES))
    cased = "".join(draw(st.sampled_from((c, c.upper(), c.lower(), c.swapcase()))) for c in needle)
    if draw(st.booleans()):
        cased = "".join(draw(st.sampled_from((c, c, *OTHERS.get(c.lower(), "")))) for c in cased)
    filler = st.text("abk İi\u212a=?\n.é-²™ı", max_size=20)
    return draw(filler) + cased + draw(filler)


@st.composite
def bodies(draw: st.DrawFn, text: str, charset: str) -> tuple[bytes, bytes]:
    """A transfer encoding and the text in it, with line ends wherever the encoding lets them be."""
    octets = encode(text, charset)
    width = draw(st.integers(1, 80))
    match draw(st.sampled_from(("8bit", "quoted-printable", "all-quoted", "base64"))):
        case "8bit":
            return b"8bit", octets
        case "quoted-printable":
            quoted = quopri.encodestring(octets)
            lines = (quoted[at : at + width] for at in range(0, len(quoted), width))
            joined = draw(st.sampled_from((b"=\r\n", b"=\n"))).join(lines)
            return b"Quoted-Printable", joined if draw(st.booleans()) else quoted
        case "all-quoted":
            return b"quoted-printable", b"".join(b"=%02X" % octet for octet in octets)
        case _:
            encoded = base64.b64encode(octets)
            lines = (encoded[at : at + width] for at in range(0, len(encoded), width))
            return b"base64", draw(st.sampled_from((b"\r\n", b"\n", b" \r\n\t"))).join(lines)


@st.composite
def subjects(draw: st.DrawFn, text: str, charset: str) -> bytes:
    """The text in one or several encoded words, or raw, or half of each."""
    text = text.replace("\n", " ")
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    words = [draw(encoded_words(piece, charset)) for piece in pieces]
    return draw(st.sampled_from((b"", b" ", b"\r\n ", b"\t"))).join(words)


@st.composite
def encoded_words(draw: st.DrawFn, piece: str, charset: str) -> bytes:
    octets = encode(piece, charset)
    match draw(st.sampled_from("rbq")):
        case "r":
            return octets
        case "b":
            return b"=?" + charset.encode() + b"?B?" + base64.b64encode(octets) + b"?="
        case _:
            return b"=?" + charset.encode() + b"*en?q?" + b"".join(b"=%02x" % octet for octet in octets) + b"?="


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """A message, or one with parts, some of them messages."""
    charset = draw(st.sampled_from(CHARSETS))
    encoding, body = draw(bodies(draw(texts()), charset))
    subject = draw(subjects(draw(texts()), charset)) if draw(st.booleans()) else b"none"
    name = draw(st.sampled_from((b"charset=%b", b'charset="%b"', b"CharSet = %b", b"charset*=%b''", b"char(x)set=%b")))
    media = b"Content-Type: text/plain; " + name % charset.encode()
    head = b"Subject: " + subject.replace(b"\n", b" ") + b"\r\n" + media + b"\r\n"
    message = head + b"Content-Transfer-Encoding: " + encoding + b"\r\n\r\n" + body
    if draw(st.booleans()):
        inner = draw(st.sampled_from((b"", b"Content-Type: message/rfc822\r\n\r\n")))
        message = b"Content-Type: multipart/mixed; boundary=b0\r\n\r\n--b0\r\n" + inner + message + b"\r\n--b0--\r\n"
    return message


@settings(deadline=None)
@given(messages(), st.sampled_from(NEEDLES))
def test_whatever_contains_the_text_passes(message, needle):
    found = prefilter(needle)
    assert found is not None
    if contains_text(message, needle) or contains_text(message, needle, headers=False):
        assert found.search(message), message


@pytest.mark.parametrize(
    "subject",
    [
        b"=?utf-8?q?Quarter?= =?utf-8?q?deck?=",
        b"=?utf-8?q?Quarter?=\r\n =?utf-8?b?ZGVjaw==?=",
        b"=?utf-8?b?UXVhcnRl?= =?us-ascii?q?rdeck?=",
        b"quarter=?utf-8?q?deck?=",
        b"=?utf-8?q?quarter?=deck",
        b"=?utf-8?b?cXVhcnRlcg==?=deck",
        b"=?utf-8?q?quarter?==?utf-8?q?deck?=",
        b"=?=utf-7?q?+AHE-uarterdeck?=",
        b"=?utf-8?q?=51=75=61=72=74=65=72=64=65=63=6b?=",
        b"=?utf-8*en?B?cXVhcnRlcmRlY2s=?=",
        b"=?utf-7?q?+AHE-uarterdeck?=",
    ],
)
def test_encoded_words_split_in_any_way_pass(subject):
    message = b"Subject: " + subject + b"\r\n\r\nx"
    found = prefilter("quarterdeck")
    assert contains_text(message, "quarterdeck")
    assert found is not None and found.search(message)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (b"quoted-printable", b"the quar=\r\nter=\ndeck"),
        (b"quoted-printable", b"the quar=\r \nter=\r\n=\r\ndeck"),
        (b"quoted-printable", b"the =51=\r\n=75=61=72=74=65=72=64=65=63=6B"),
        (b"base64", b"cXVh\r\n cnRl\n\tcm Rl,Y2s="),
        (b"base64", b"eHF1YXJ0\r\nZXJkZWNr"),
        (b"base64", b"eHhRVUFS\r\nVEVSREVDSw=="),
    ],
)
def test_transfer_encodings_broken_in_any_way_pass(encoding, body):
    message = b"Content-Transfer-Encoding: " + encoding + b"\r\n\r\n" + body
    found = prefilter("quarterdeck")
    assert contains_text(message, "quarterdeck")
    assert found is not None and found.search(message)


@settings(deadline=None)
@given(messages(), st.data())
def test_substrings_of_what_is_there_pass(message, data):
    text = data.draw(st.sampled_from(list(searchable_text(message))))
    start = data.draw(st.integers(0, max(len(text) - 1, 0)))
    found = prefilter(text[start : start + data.draw(st.integers(1, 30))])
    assert found is None or found.search(message), message


@settings(deadline=None)
@given(st.text(max_size=40), st.text(max_size=10), st.integers(0, 5))
def test_any_text_in_any_encoding(needle, around, width):
    found = prefilter(needle)
    octets = (around + needle.upper() + around).encode()
    head = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "
    for encoding, body in ((b"base64", base64.encodebytes(octets)), (b"quoted-printable", quopri.encodestring(octets))):
        message = head + encoding + b"\r\n\r\n" + body
        assert found is None or found.search(message) or not contains_text(message, needle)


def test_what_is_not_there_does_not_pass():
    found = prefilter("quarterdeck")
    assert found is not None
    for body in (b"quarter deck", b"quarter=20deck", base64.encodebytes(b"quarterdesk"), b"quarterde", b"a?=\r\nb"):
        head = b"Subject: =?utf-8?B?" + base64.b64encode(b"ga") + b"?= and more\r\nContent-Type: text/html; charset="
        for charset in (b'"UTF-8"', b"iso-8859-15\r\nX: y", b"us-ascii; format=flowed", b'3Dutf-8"', b'3D"utf-8"'):
            assert found.search(head + charset + b"\r\n\r\n" + body) is None


@pytest.mark.parametrize("needle", ["", "ab", "é ü", "…", "a b c", "ki", "a.b.c"])
def test_texts_without_a_word_pass_everywhere(needle):
    assert prefilter(needle) is None


def test_long_texts_make_no_long_expressions():
    word = "harbourmasters" * 1000
    found = prefilter(word)
    assert found is not None
    assert found.search(word[:MAX_WORD].encode()) and not found.search(word[: MAX_WORD - 1].encode())


def test_other_charsets_pass():
    found = prefilter("quarterdeck")
    assert found is not None
    for name in aliases:
        if codec_for(name) not in {codec_for(plain.decode()) for plain in PLAIN_CHARSETS} | {None}:
            assert found.search(b"Content-Type: text/plain; charset=%b\r\n\r\n" % name.encode()), name
            assert found.search(b"Subject: =?%b?q?x?=\r\n\r\n" % name.encode()), name
    assert not any(name.startswith("3") for name in aliases)


def test_ascii_letters_have_one_form_in_plain_charsets():
    for name in PLAIN_CHARSETS:
        codec = codec_for(name.decode())
        assert codec is not None, name
        for pair in product(range(256), repeat=2):
            text = bytes(pair).decode(codec, "ignore")
            for letter in text:
                assert not letter.isascii() or ord(letter) in pair, (name, pair)
    assert sum(codec_for(name.decode()) == "utf_8" for name in PLAIN_CHARSETS) == 3


def test_every_other_character_that_holds_an_ascii_one_is_known():
    table = prefilter_module._table()
    for code in range(128, sys.maxunicode + 1):
        mapped = casemap(chr(code)).decode("utf-8", "surrogatepass")
        for place, part in enumerate(mapped):
            followed = mapped[place + 1 : place + 2]
            if part.isascii() and not (place == 0 and followed and not followed.isascii()):
                assert chr(code) in table[part], (hex(code), part)
