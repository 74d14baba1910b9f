"""The record's bytes: encoding, parsing, every single damaged byte noticed."""

from __future__ import annotations

import os
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ids import encode
from shared.journal.record import (
    HEADER_LENGTH,
    MAX_INLINE,
    BadRecord,
    Draft,
    LargeFile,
    RecordKind,
    check_body,
    end_record,
    large_name,
    parse_envelope,
    parse_header,
)
from tests.unit.journal.conftest import MakeEnvelope

NONCE = os.urandom(16)
LARGE = LargeFile(f"{encode(7)}-00112233", 300_000, 0xDEADBEEF)


def _parse(data: bytes, nonce: bytes = NONCE) -> tuple[bytes, str]:
    header = parse_header(data[:HEADER_LENGTH], nonce)
    check_body(header, data)
    parse_envelope(header, data)
    return data[header.body : header.body + header.inline_length], large_name(header, data)


def test_a_record_is_read_as_it_was_written(envelope: MakeEnvelope) -> None:
    made = envelope("bob@b.test", "carol@b.test")
    draft = Draft(made.to_json(), [b"Received: x\r\n", b"", b"\r\nbody"], LARGE)
    data = b"".join(draft.buffers(NONCE))
    assert len(data) == draft.length
    assert _parse(data) == (b"Received: x\r\n\r\nbody", LARGE.name)
    header = parse_header(data, NONCE)
    assert parse_envelope(header, data) == made
    assert (header.large_size, header.large_crc) == (LARGE.size, LARGE.crc)
    segment = f"2026-11-23/mta-{encode(1)}-1"
    assert draft.reference(segment, 99) == header.reference(segment, 99, LARGE.name)


@given(st.lists(st.binary(max_size=300), max_size=80))
def test_any_body_in_any_pieces(parts: list[bytes]) -> None:
    data = b"".join(Draft(b"{}", parts, None).buffers(NONCE))
    header = parse_header(data, NONCE)
    check_body(header, data)
    assert data[header.body : header.body + header.inline_length] == b"".join(parts)


def test_every_damaged_byte_is_noticed(envelope: MakeEnvelope) -> None:
    data = bytearray(b"".join(Draft(envelope().to_json(), b"Subject: x\r\n\r\nbody\r\n", LARGE).buffers(NONCE)))
    for position in range(len(data)):
        data[position] ^= 0x20
        with pytest.raises(BadRecord):
            _parse(bytes(data))
        data[position] ^= 0x20
    _parse(bytes(data))


def test_every_cut_is_noticed(envelope: MakeEnvelope) -> None:
    data = b"".join(Draft(envelope().to_json(), b"Subject: x\r\n\r\nbody\r\n", None).buffers(NONCE))
    for length in range(len(data)):
        with pytest.raises(BadRecord):
            _parse(data[:length])


def test_a_record_of_another_segment_is_none(envelope: MakeEnvelope) -> None:
    data = b"".join(Draft(envelope().to_json(), b"x", None).buffers(os.urandom(16)))
    with pytest.raises(BadRecord, match="nonce"):
        _parse(data)


@pytest.mark.parametrize(("at", "value"), [(20, 2), (21, 9), (23, 1)])
def test_unknown_versions_kinds_and_keys_are_refused(at: int, value: int) -> None:
    data = bytearray(b"".join(Draft(b"{}", b"x", None).buffers(NONCE)))
    data[at] = value
    data[HEADER_LENGTH - 4 : HEADER_LENGTH] = struct.pack(">I", zlib.crc32(data[: HEADER_LENGTH - 4]))
    with pytest.raises(BadRecord, match="unknown"):
        parse_header(bytes(data), NONCE)


@pytest.mark.parametrize("envelope_json", [b"", b"[]", b"{}", b'{"recipients":[{}],"kind":"message"}', b'{"kind":3}'])
def test_an_envelope_with_a_right_crc_may_still_be_nonsense(envelope_json: bytes) -> None:
    data = b"".join(Draft(envelope_json, b"x", None).buffers(NONCE))
    with pytest.raises(BadRecord, match="unreadable"):
        parse_envelope(parse_header(data, NONCE), data)


def test_limits_are_enforced() -> None:
    with pytest.raises(ValueError, match="over"):
        Draft(b"{}", bytes(MAX_INLINE + 1), None)
    with pytest.raises(ValueError, match="large"):
        Draft(b"{}", b"", LargeFile("../x", 1, 1))


def test_the_end_record_parses() -> None:
    header = parse_header(end_record(NONCE), NONCE)
    assert header.kind is RecordKind.END
    assert header.length == len(end_record(NONCE))
