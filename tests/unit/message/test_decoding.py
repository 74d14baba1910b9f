"""Transfer encodings undone chunk by chunk, and messages with binary parts made such that IMAP can hold them."""

from __future__ import annotations

import base64
import mmap
import quopri
import random
import tempfile
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.message import binary
from shared.message.binary import NotTransferable, to_transferable
from shared.message.decoding import MAX_HELD_LINE, decoder_for
from shared.message.structure import parse_structure
from shared.message.text import decode_body


def decode(encoding: bytes, *chunks: bytes) -> bytes:
    decoder = decoder_for(encoding)
    assert decoder is not None
    return b"".join([decoder.feed(chunk) for chunk in chunks]) + decoder.finish()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@given(st.binary(max_size=500), st.lists(st.integers(0, 1000), max_size=8))
def test_base64(data: bytes, places: list[int]) -> None:
    text = base64.encodebytes(data).replace(b"\n", b"\r\n")
    assert decode(b"base64", *cut(text, places)) == data


@given(st.binary(max_size=500), st.lists(st.integers(0, 1000), max_size=8))
def test_quoted_printable(data: bytes, places: list[int]) -> None:
    data = data.replace(b"\r", b"").replace(b"\n", b"")
    text = quopri.encodestring(data, quotetabs=True).replace(b"\n", b"\r\n")
    assert decode(b"quoted-printable", *cut(text, places)) == decode_body(text, b"quoted-printable")


@given(st.binary(max_size=300), st.lists(st.integers(0, 1000), max_size=8), st.sampled_from([b"base64", b"8bit"]))
def test_whatever_the_chunks_the_result_is_the_same(data: bytes, places: list[int], encoding: bytes) -> None:
    assert decode(encoding, *cut(data, places)) == decode(encoding, data)


def test_broken_base64() -> None:
    assert decode(b"base64", b"!!aGVs\r\nbG8=\0=") == b"hello"
    assert decode(b"base64", b"aGk=aGk=") == b"hihi"
    assert decode(b"base64", b"a") == b""


def test_a_quoted_printable_line_without_end_is_cut_outside_of_escapes() -> None:
    assert decode(b"quoted-printable", b"x" * (MAX_HELD_LINE + 1) + b"=4", b"1y") == b"x" * (MAX_HELD_LINE + 1) + b"Ay"


def test_unknown_encodings() -> None:
    assert decoder_for(b"x-uuencode") is None


def transferred(data: bytes) -> bytes:
    return b"".join(to_transferable(data))


HEAD = b"Content-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n"


def test_only_what_has_to_be_is_encoded() -> None:
    plain = b"Subject: x\r\n\r\nline\r\n"
    assert transferred(plain) == plain
    assert transferred(plain.replace(b"\r\n", b"\n")) == plain
    whole_lines = HEAD + b"\r\nline\r\nline\r\n"
    assert transferred(whole_lines) == whole_lines
    assert transferred(HEAD + b"\r\n\0") == HEAD.replace(b"binary", b"base64") + b"\r\nAA==\r\n"
    assert transferred(b"Subject: x\r\n\r\na\0b") == (
        b"Subject: x\r\nContent-Transfer-Encoding: base64\r\n\r\nYQBi\r\n"
    )


def test_parts_keep_their_places() -> None:
    message = (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\npreamble\n--b\r\nSubject: text\r\n\r\nline\n"
        b"--b\r\n" + HEAD + b"\r\n\0\r\n--b\r\n\r\nlast\r\n--b--\r\n"
    )
    found = transferred(message)
    root = parse_structure(found)
    assert [found[part.body_start : part.body_end] for part in root.children] == [b"line", b"AA==", b"last"]
    assert [part.encoding for part in root.children] == [b"7bit", b"base64", b"7bit"]
    assert b"preamble\r\n--b" in found


@pytest.mark.parametrize(
    "message",
    [
        b"Subject: \0\r\n\r\nx",
        b"Content-Transfer-Encoding: base64\r\n\r\n\0",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n\0\r\n--b\r\n\r\nx\r\n--b--\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n\0",
    ],
)
def test_a_nul_that_cannot_be_hidden(message: bytes) -> None:
    with pytest.raises(NotTransferable):
        transferred(message)


@given(st.binary(max_size=400))
def test_octets_come_back(body: bytes) -> None:
    found = transferred(HEAD + b"\r\n" + body)
    root = parse_structure(found)
    assert b"\0" not in found
    text = found[root.body_start : root.body_end]
    assert decode(root.encoding, text) == body


def test_a_mapped_file_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary, "CHUNK_LINES", 3)
    data = HEAD + b"\r\n" + random.Random(1).randbytes(2000)
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            assert b"".join(to_transferable(mapped)) == transferred(data)
