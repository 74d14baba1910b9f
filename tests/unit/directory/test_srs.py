"""Rewritten reverse-paths: there and back, for as long as they last, and for nobody else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.address import Address, parse_address
from shared.directory.srs import DAY, VALID_DAYS, is_rewritten, restore, rewrite

KEY, OTHER = b"k" * 32, b"o" * 32
NOW = 20_000 * DAY
WRITER = Address("Some.One+tag", "out.test")


def test_there_and_back() -> None:
    path = rewrite(WRITER, "b.test", KEY, NOW)
    assert path is not None and path.domain == "b.test" and is_rewritten(path)
    assert path.local.startswith("SRS0=") and path.local.endswith("=out.test=Some.One+tag")
    assert restore(path, [OTHER, KEY], NOW) == WRITER
    assert parse_address(str(path)) == path


def test_changed_capitals_do_no_harm() -> None:
    path = rewrite(WRITER, "b.test", KEY, NOW)
    assert path is not None
    back = restore(Address(path.local.upper(), "b.test"), [KEY], NOW)
    assert back is not None and back.key == WRITER.key


@pytest.mark.parametrize(
    ("days", "valid"),
    [(0, True), (1, True), (VALID_DAYS, True), (VALID_DAYS + 1, False), (500, False), (-1, True), (-2, False)],
)
def test_it_lasts_three_weeks(days: int, valid: bool) -> None:
    path = rewrite(WRITER, "b.test", KEY, NOW)
    assert path is not None
    assert (restore(path, [KEY], NOW + days * DAY) == WRITER) is valid


def test_nobody_else_can_write_one() -> None:
    path = rewrite(WRITER, "b.test", KEY, NOW)
    assert path is not None
    assert restore(path, [OTHER], NOW) is None
    for forged in (
        path.local.replace("out.test", "victim.test"),
        path.local.replace("One", "Two"),
        "SRS0=",
        "SRS0==",
        "SRS1=x=y",
    ):
        assert restore(Address(forged, "b.test"), [KEY], NOW) is None
    assert restore(WRITER, [KEY], NOW) is None and not is_rewritten(WRITER)


def test_a_path_that_was_rewritten_before_leads_to_the_first_forwarder() -> None:
    first = rewrite(WRITER, "first.test", OTHER, NOW)
    assert first is not None
    second = rewrite(first, "b.test", KEY, NOW)
    assert second is not None and second.local.startswith("SRS1=")
    assert restore(second, [KEY], NOW) == first
    third = rewrite(Address(second.local, "c.test"), "d.test", OTHER, NOW)
    assert third is not None
    assert restore(third, [OTHER], NOW) == first


def test_what_would_be_too_long_is_none() -> None:
    assert rewrite(Address("x" * 60, "out.test"), "b.test", KEY, NOW) is None


LOCALS = st.text(alphabet="abcXYZ0189.=+-_%!", min_size=1, max_size=30).filter(
    lambda text: (
        not text.startswith(".") and not text.endswith(".") and ".." not in text and not text.upper().startswith("SRS")
    )
)


@given(LOCALS, st.integers(0, 60_000))
def test_every_sender_comes_back(local: str, day: int) -> None:
    sender = Address(local, "out.test")
    path = rewrite(sender, "b.test", KEY, day * DAY)
    if path is not None:
        assert restore(path, [KEY], day * DAY) == sender


@given(st.text(max_size=64))
def test_nothing_is_taken_that_was_not_signed(text: str) -> None:
    for local in (text, f"SRS0={text}", f"srs1+{text}", f"SRS0={text}=aa=x.test=y"):
        assert restore(Address(local, "b.test"), [KEY], NOW) is None
