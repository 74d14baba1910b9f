"""References: their text form, and that none leads out of the volume."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ids import encode
from shared.journal.active import new_segment_name
from shared.journal.reference import Reference, check_large, check_segment, large_path, nonce_of, open_path
from shared.journal.segments import SegmentKind, kind_of

SEGMENT = f"2026-11-23/mta-1-{encode(2**127 + 5)}-3"
LARGE = f"{encode(77)}-0a1b2c3d"


@given(
    offset=st.integers(0, 2**40),
    head=st.integers(56, 10_000),
    inline=st.integers(0, 2**25),
    rest=st.integers(0, 2**40),
    large=st.sampled_from(["", LARGE]),
)
def test_the_text_gives_the_same_reference(offset: int, head: int, inline: int, rest: int, large: str) -> None:
    ref = Reference(SEGMENT, offset, head + inline + 4, offset + head, inline, inline + rest, large)
    assert Reference.decode(ref.encode()) == ref


@given(st.text(max_size=80))
def test_any_text_is_a_reference_or_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        Reference.decode(text)


@pytest.mark.parametrize(
    "text",
    [
        f"{SEGMENT}:0:100:60:30:30",
        f"{SEGMENT}:0:100:60:41:41:",  # the message would end behind the record
        f"{SEGMENT}:50:100:40:30:30:",  # the message would start before the record
        f"{SEGMENT}:0:100:60:30:20:",  # smaller than its inline part
        f"{SEGMENT}:-1:100:60:30:30:",
        f"{SEGMENT}:0:100:60:30:30:../../etc/passwd",
        f"../../{SEGMENT}:0:100:60:30:30:",
        f"{SEGMENT}:0:1٠0:60:30:30:",
    ],
)
def test_what_no_writer_makes_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        Reference.decode(text)


@pytest.mark.parametrize("name", ["2026-11-23/../x", "2026-11-23/mta-3", f"x/mta-{encode(1)}-1", SEGMENT + "\n"])
def test_segment_names_lead_nowhere_else(name: str) -> None:
    with pytest.raises(ValueError, match="segment"):
        check_segment(name)


@pytest.mark.parametrize("name", ["", "..", "a/b", "x.msg", "a\n"])
def test_large_names_lead_nowhere_else(name: str) -> None:
    with pytest.raises(ValueError, match="large"):
        check_large(name)


def test_paths() -> None:
    assert open_path(Path("/j"), SEGMENT) == Path(f"/j/{SEGMENT}.open")
    assert large_path(Path("/j"), LARGE) == Path(f"/j/large/3d/{LARGE}.msg")


def test_a_name_bears_the_nonce_and_the_kind() -> None:
    name = new_segment_name("mta-1", 3, 0.0)
    assert name.startswith("1970-01-01/mta-1-") and name.endswith("-3")
    assert len(nonce_of(name)) == 16 and nonce_of(name) != nonce_of(new_segment_name("mta-1", 3, 0.0))
    assert nonce_of(SEGMENT) == (2**127 + 5).to_bytes(16, "big")
    assert kind_of(name) is SegmentKind.JOURNAL
    assert kind_of(new_segment_name("compacted", 1, 0.0)) is SegmentKind.COMPACTED
