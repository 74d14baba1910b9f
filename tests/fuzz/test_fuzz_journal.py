"""Whatever a segment's bytes are, the scanner ends, invents nothing and raises nothing."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.ids import encode
from shared.journal.record import (
    HEADER_LENGTH,
    BadRecord,
    Draft,
    LargeFile,
    check_body,
    end_record,
    large_name,
    parse_envelope,
    parse_header,
)
from shared.journal.reference import nonce_of
from shared.journal.scan import ScannedRecord, TornTail, scan
from shared.message.envelope import Envelope, Lane, Recipient

SEGMENT = f"2026-11-23/mta-1-{encode(2**120 + 12345)}-1"
NONCE = nonce_of(SEGMENT)
LARGE = LargeFile(f"{encode(5)}-cafe0123", 3_000_000, 99)


def _record(number: int, large: LargeFile | None = None) -> bytes:
    envelope = Envelope(encode(number), "a@b.test", (Recipient("c@d.test", Lane.DELIVERY),), number)
    return b"".join(Draft(envelope.to_json(), b"Subject: %d\r\n\r\nbody\r\n" % number, large).buffers(NONCE))


RECORDS = [_record(1), _record(2, LARGE), _record(3), _record(4)]
SEED = b"".join(RECORDS) + end_record(NONCE)
KNOWN = {encode(n) for n in range(1, 5)}

Edit = Callable[[bytearray], None]


@st.composite
def edits(draw: st.DrawFn) -> bytes:
    """Return the seed with some bytes flipped, removed, inserted, moved or cut off."""
    data = bytearray(SEED)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        length = draw(st.integers(1, 120))
        match draw(st.sampled_from(["flip", "remove", "insert", "cut", "repeat", "header"])):
            case "flip" if data:
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "remove":
                del data[at : at + length]
            case "insert":
                data[at:at] = draw(st.binary(max_size=120))
            case "cut":
                del data[at:]
            case "repeat":
                data[at:at] = data[at : at + length]
            case _:
                data[at:at] = RECORDS[1][:HEADER_LENGTH]
    return bytes(data)


@pytest.fixture(scope="module")
def descriptor() -> int:
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=edits())
def test_a_mutated_segment(descriptor: int, data: bytes) -> None:
    _check(descriptor, data)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=2_000))
def test_any_bytes(descriptor: int, data: bytes) -> None:
    _check(descriptor, data)


@settings(max_examples=400, deadline=None)
@given(data=edits())
def test_the_record_parser(data: bytes) -> None:
    try:
        header = parse_header(data, NONCE)
        check_body(header, data)
        parse_envelope(header, data)
        large_name(header, data)
    except BadRecord as error:
        assert str(error)


def _check(descriptor: int, data: bytes) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, data, 0)
    end = 0
    for found in scan(SEGMENT, descriptor, len(data)):
        place = found.reference if isinstance(found, ScannedRecord) else found
        assert place.offset >= end and place.length > 0  # forwards, nothing twice
        end = place.offset + place.length
        assert end <= len(data)
        if isinstance(found, ScannedRecord):
            assert found.envelope.id in KNOWN
            assert data[place.offset : end] in RECORDS
        if isinstance(found, TornTail):
            assert end == len(data)
