"""DEFLATE in both directions, against zlib's own streams."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.imap.deflate import BadDeflate, Deflater, Inflater

PIECES = st.lists(st.binary(max_size=300) | st.sampled_from([b"FETCH 1:* (FLAGS)\r\n", b"x" * 5_000]), max_size=20)


def read_all(inflater: Inflater, limit: int = 64) -> bytes:
    output = b""
    while inflater.has_more:
        output += inflater.read(limit)
    return output


@given(PIECES, st.lists(st.booleans(), min_size=20, max_size=20))
def test_what_is_sent_is_one_stream_however_often_it_rests(pieces: list[bytes], rests: list[bool]) -> None:
    deflater, stream = Deflater(), zlib.decompressobj(-15)
    for piece, rest in zip(pieces, rests, strict=False):
        assert stream.decompress(deflater.compress(piece)) == piece
        if rest:
            deflater.rest()


@given(PIECES, st.lists(st.booleans(), min_size=20, max_size=20), st.integers(1, 9), st.integers(1, 500))
def test_what_arrives_is_read_however_often_it_rests(
    pieces: list[bytes], rests: list[bool], level: int, limit: int
) -> None:
    stream, inflater = zlib.compressobj(level, zlib.DEFLATED, -15), Inflater()
    for piece, rest in zip(pieces, rests, strict=False):
        inflater.feed(stream.compress(piece) + stream.flush(zlib.Z_SYNC_FLUSH))
        assert read_all(inflater, limit) == piece
        if rest:
            inflater.rest()


def test_what_isnt_flushed_isnt_forgotten() -> None:
    stream, inflater = zlib.compressobj(6, zlib.DEFLATED, -15), Inflater()
    octets = stream.compress(b"a NOOP\r\n") + stream.flush(zlib.Z_SYNC_FLUSH)
    for octet in octets:
        inflater.feed(bytes((octet,)))
        inflater.rest()
    assert read_all(inflater) == b"a NOOP\r\n"
    inflater.rest()
    inflater.feed(stream.compress(b"b NOOP\r\n") + stream.flush(zlib.Z_SYNC_FLUSH))
    assert read_all(inflater) == b"b NOOP\r\n"


def test_the_end_of_the_stream() -> None:
    inflater = Inflater()
    stream = zlib.compressobj(6, zlib.DEFLATED, -15)
    inflater.feed(stream.compress(b"last") + stream.flush(zlib.Z_FINISH) + b"plain")
    assert read_all(inflater) == b"last"
    assert inflater.ended
    assert inflater.take_rest() == b"plain"


def test_garbage() -> None:
    inflater = Inflater()
    inflater.feed(b"\xff" * 100)
    with pytest.raises(BadDeflate):
        inflater.read(100)
