"""Pages of long tables by key: each costs the same, however far back it lies.

A filter that few rows pass is applied to windows of bounded size, so that no page reads a whole table: a
page may be short, or even empty, and there is more as long as it has a `next`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson

from shared.db import Query, Rows, Work
from shared.errors import ConfigurationError

DEFAULT_LIMIT = 50
MAX_LIMIT = 500
WINDOW = 10_000  # rows of a table that one page looks at, at most
MAX_CURSOR = 2_000  # characters


@dataclass(frozen=True, slots=True)
class Page:
    """Some of a list's items, and the cursor of what follows, "" at the end."""

    items: list[dict[str, Any]]
    next: str = ""

    def view(self) -> dict[str, Any]:
        """Return it as the API tells it."""
        return {"items": self.items, "next": self.next}


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions (SQL with `:names`) that rows must meet, and their values."""

    conditions: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)

    def plus(self, condition: str, **values: Any) -> Filter:
        """Return it with one more condition."""
        return Filter((*self.conditions, condition), {**self.values, **values})


@dataclass(frozen=True, slots=True)
class Listing:
    """A table (or join) whose rows are listed in the order of a unique key."""

    columns: str
    source: str
    key: tuple[str, ...]
    descending: bool = False

    def rows(
        self, conditions: Filter, after: Sequence[Any] | None, limit: int, *, window: int | None = WINDOW
    ) -> Work[tuple[Rows, list[Any] | None]]:
        """Return up to `limit` rows behind a key, and the key to go on from (None at the end).

        A window of None is for conditions that an index answers, so that no other rows are looked at.
        """
        if not conditions.conditions or window is None:
            query = self._query(conditions.conditions, after is not None, False)
            rows = yield query(**conditions.values, **self._bounds(after, None), limit=limit)
            return rows, self.key_of(rows[-1]) if len(rows) == limit else None
        edge = (yield self._edge(after is not None)(**self._bounds(after, None), offset=window - 1))[:1]
        end = self.key_of(edge[0]) if edge else None
        query = self._query(conditions.conditions, after is not None, end is not None)
        rows = yield query(**conditions.values, **self._bounds(after, end), limit=limit)
        return rows, self.key_of(rows[-1]) if len(rows) == limit else end

    def key_of(self, row: Any) -> list[Any]:
        """Return a row's key."""
        return [row[name.rpartition(".")[2]] for name in self.key]

    def _query(self, conditions: tuple[str, ...], after: bool, until: bool) -> Query:
        wanted = [f"({condition})" for condition in conditions]
        wanted += [self._comparison("<" if self.descending else ">", "after")] if after else []
        wanted += [self._comparison(">=" if self.descending else "<=", "until")] if until else []
        return _query(f"SELECT {self.columns} FROM {self.source} {_where(wanted)} {self._order} LIMIT :limit")

    def _edge(self, after: bool) -> Query:
        wanted = [self._comparison("<" if self.descending else ">", "after")] if after else []
        keys = ", ".join(self.key)
        return _query(f"SELECT {keys} FROM {self.source} {_where(wanted)} {self._order} LIMIT 1 OFFSET :offset")

    @property
    def _order(self) -> str:
        return "ORDER BY " + ", ".join(f"{name} DESC" if self.descending else name for name in self.key)

    def _comparison(self, sign: str, prefix: str) -> str:
        places = ", ".join(f":{prefix}{number}" for number in range(len(self.key)))
        return f"({', '.join(self.key)}) {sign} ({places})"

    def _bounds(self, after: Sequence[Any] | None, until: Sequence[Any] | None) -> dict[str, Any]:
        if after is not None and len(after) != len(self.key):
            raise ConfigurationError("this cursor belongs to another list")
        bounds = {f"after{number}": value for number, value in enumerate(after or ())}
        return bounds | {f"until{number}": value for number, value in enumerate(until or ())}


def encode_cursor(key: Sequence[Any] | None) -> str:
    """Return a key as an opaque text, "" for the end."""
    return "" if key is None else base64.urlsafe_b64encode(orjson.dumps(list(key))).decode().rstrip("=")


def decode_cursor(text: str, *kinds: type) -> list[Any] | None:
    """Return a cursor's key, whose values have these types; ConfigurationError if it is none of ours."""
    if not text:
        return None
    try:
        if len(text) > MAX_CURSOR:
            raise ValueError
        key = orjson.loads(base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4)))
        if not isinstance(key, list) or [type(value) for value in key] != list(kinds):
            raise ValueError
        if any(type(value) is int and abs(value) >= 2**63 for value in key):
            raise ValueError
        if any(type(value) is str and "\0" in value for value in key):
            raise ValueError
    except (ValueError, binascii.Error, UnicodeError, orjson.JSONDecodeError):
        raise ConfigurationError("malformed cursor: use the `next` of the page before") from None
    return key


def check_limit(limit: int) -> int:
    """Return a page's size; ConfigurationError outside of 1 to MAX_LIMIT."""
    if not 1 <= limit <= MAX_LIMIT:
        raise ConfigurationError(f"a page has 1 to {MAX_LIMIT} items")
    return limit


def like(text: str) -> str:
    """Return the LIKE pattern (ESCAPE '!') of what contains a text, in lower case."""
    escaped = text.lower().replace("!", "!!").replace("%", "!%").replace("_", "!_")
    return f"%{escaped}%"


def in_domains(columns: Sequence[str], domains: Sequence[str], given: Filter) -> Filter:
    """Require that one of some address columns lies in one of the domains."""
    values = {f"domain{number}": f"%@{_escape(domain)}" for number, domain in enumerate(domains)}
    tests = [f"{column} LIKE :{name} ESCAPE '!'" for column in columns for name in values]
    return given.plus(" OR ".join(tests) or "1 = 0", **values)


def _escape(text: str) -> str:
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")


def _where(conditions: Sequence[str]) -> str:
    return "WHERE " + " AND ".join(conditions) if conditions else ""


@lru_cache(maxsize=256)
def _query(text: str) -> Query:
    return Query("page", text)
