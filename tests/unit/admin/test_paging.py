"""Cursors, and pages of a table whatever the filter."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.db import Engine
from shared.errors import ConfigurationError
from shared.operations.paging import Filter, Listing, decode_cursor, encode_cursor, in_domains, like


@given(st.lists(st.one_of(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=50),
                          st.integers(-(2**62), 2**62)), max_size=4))  # fmt: skip
def test_cursors_come_back(key: list[Any]) -> None:
    assert decode_cursor(encode_cursor(key), *map(type, key)) == key


@given(st.text(max_size=200))
def test_what_is_no_cursor_is_refused(text: str) -> None:
    if text:
        try:
            assert decode_cursor(text, str, str, str, str, str, str) is not None
        except ConfigurationError as error:
            assert "cursor" in str(error)


def test_a_cursor_of_another_list_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="cursor"):
        decode_cursor(encode_cursor(["a", 1]), str, str)
    with pytest.raises(ConfigurationError, match="cursor"):
        decode_cursor(encode_cursor(["a\0"]), str)
    assert encode_cursor(None) == ""


@given(
    rows=st.sets(st.tuples(st.integers(0, 20), st.sampled_from("abc")), max_size=60),
    limit=st.integers(1, 7),
    window=st.integers(1, 9),
    descending=st.booleans(),
    kind=st.sampled_from(["", "a", "b"]),
)
def test_all_pages_together_are_the_table(
    rows: set[tuple[int, str]], limit: int, window: int, descending: bool, kind: str
) -> None:
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    connection.execute("CREATE TABLE t (n INTEGER, k TEXT)")
    connection.executemany("INSERT INTO t VALUES (?, ?)", rows)
    listing = Listing("n, k", "t", ("t.n", "t.k"), descending)
    wanted = Filter().plus("t.k = :kind", kind=kind) if kind else Filter()
    found: list[tuple[int, str]] = []
    after: list[Any] | None = None
    for _ in range(200):
        work = listing.rows(wanted, after, limit, window=window)
        try:
            statement = next(work)
            while True:
                text, values = statement.query.bind(Engine.SQLITE, statement.values)
                statement = work.send(connection.execute(text, values).fetchall())
        except StopIteration as stop:
            page, after = stop.value
        assert len(page) <= limit
        found += [(row["n"], row["k"]) for row in page]
        if after is None:
            break
    expected = sorted((row for row in rows if kind in ("", row[1])), reverse=descending)
    assert found == expected


def test_patterns_take_texts_as_they_are() -> None:
    assert like("50%_off!") == "%50!%!_off!!%"
    wanted = in_domains(("a", "b"), ["x_y.test"], Filter())
    assert wanted.conditions == ("a LIKE :domain0 ESCAPE '!' OR b LIKE :domain0 ESCAPE '!'",)
    assert wanted.values == {"domain0": "%@x!_y.test"}
    assert in_domains(("a",), [], Filter()).conditions == ("1 = 0",)
