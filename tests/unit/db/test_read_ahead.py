"""What the kernel is asked to read before it is wanted."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest

from shared.db import read_ahead
from shared.db.sqlite import READ_AHEAD
from shared.errors import ConfigurationError


@pytest.fixture
def advice(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda file, offset, length, what: given.append((offset, length)))
    return given


def test_all_of_a_small_file(tmp_path: Path, advice: list[tuple[int, int]]) -> None:
    (tmp_path / "small.db").write_bytes(bytes(300_000))
    read_ahead(f"sqlite:///{tmp_path}/small.db")
    assert advice[0][0] == 0
    assert sum(length for _, length in advice) >= 300_000


def test_the_end_of_a_large_one_without_gaps(tmp_path: Path, advice: list[tuple[int, int]]) -> None:
    size = READ_AHEAD + 5_000_000
    with (tmp_path / "large.db").open("wb") as file:
        file.truncate(size)
    read_ahead(f"sqlite:///{tmp_path}/large.db")
    assert advice[0][0] == size - READ_AHEAD
    assert all(offset + length == following for (offset, length), (following, _) in pairwise(advice))
    assert advice[-1][0] + advice[-1][1] >= size


def test_what_is_not_there_is_left_to_who_opens_it(tmp_path: Path, advice: list[tuple[int, int]]) -> None:
    read_ahead(f"sqlite:///{tmp_path}/missing.db")
    read_ahead("postgresql://somebody@somewhere/mail")
    assert advice == []
    with pytest.raises(ConfigurationError):
        read_ahead("sqlite:///")
