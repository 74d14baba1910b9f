"""Entry ids."""

from __future__ import annotations

import pytest

from shared.ids import child_id, is_id, new_id, timestamp_ms


def test_ids_sort_by_time_and_tell_it() -> None:
    early, late = new_id(1_700_000_000_000), new_id(1_700_000_000_001)
    assert early < late
    assert timestamp_ms(early) == 1_700_000_000_000
    assert is_id(early) and not is_id("x") and not is_id("8" + early[1:]) and not is_id(early.lower())


def test_ids_do_not_repeat() -> None:
    assert len({new_id(1) for _ in range(10_000)}) == 10_000


def test_a_child_is_the_same_at_each_repeat() -> None:
    parent = new_id(1_700_000_000_000)
    assert child_id(parent, "a@b", "bounce", "") == child_id(parent, "a@b", "bounce", "")
    assert child_id(parent, "a@b", "bounce", "") != child_id(parent, "a@", "bbounce", "")
    assert timestamp_ms(child_id(parent, "a")) == timestamp_ms(parent)


def test_no_id_has_no_time() -> None:
    with pytest.raises(ValueError, match="not an entry id"):
        timestamp_ms("nonsense")
