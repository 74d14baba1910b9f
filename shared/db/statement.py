"""Named queries: `.sql` files in aiosql's format, written once for both engines.

    -- name: due_pending
    SELECT entry, recipient FROM pending WHERE due_at <= :now AND lane IN (:lanes...) LIMIT :limit

    -- name: insert_ledger
    INSERT INTO ledger (entry, recipient) VALUES :rows... ON CONFLICT DO NOTHING RETURNING entry

`:name` is one value, `IN (:name...)` takes a list, `VALUES :name...` a list of tuples of equal
length. `@for_share@` and `@for_update@` lock rows on PostgreSQL and vanish on SQLite, where a
writer has the database to itself; `@array@` is the aggregate that makes a JSON array. A file is
loaded once; its queries are attributes:

    sql = load("pending")
    rows = yield sql.due_pending(now=now, lanes=["relay"], limit=100)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib.resources import files
from typing import Any

MAX_VALUES = 30_000  # placeholders in one statement: SQLite allows 32,766, PostgreSQL 32,767

_NAME = re.compile(r"^--\s*name:\s*(\w+)\s*$", re.MULTILINE)
_PARAMETER = re.compile(
    r"(?P<not>NOT\s+)?IN\s*\(:(?P<list>\w+)\.\.\.\)|VALUES\s+:(?P<rows>\w+)\.\.\.|(?<!:):(?P<one>[a-z_]\w*)",
)


class Engine(Enum):
    """Which database is behind the adapter."""

    SQLITE = "sqlite"
    POSTGRES = "postgres"


_WORDS = {
    "@for_share@": {Engine.SQLITE: "", Engine.POSTGRES: "FOR SHARE"},
    "@for_update@": {Engine.SQLITE: "", Engine.POSTGRES: "FOR UPDATE"},
    "@array@": {Engine.SQLITE: "json_group_array", Engine.POSTGRES: "json_agg"},
}


@dataclass(frozen=True, slots=True)
class Statement:
    """A query with its values; `many` runs it once for each set of values and returns no rows."""

    query: Query
    values: dict[str, Any]
    many: Sequence[dict[str, Any]] | None = None


class Query:
    """One named query; calling it gives a Statement for a transaction to yield."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text.strip().rstrip(";")
        self._parts = _split(self.text)
        self._plain = {engine: _plain_text(self._parts, engine) for engine in Engine}

    def __call__(self, **values: Any) -> Statement:
        return Statement(self, values)

    def many(self, rows: Sequence[dict[str, Any]]) -> Statement:
        """Run the query for each of `rows`; only for queries without lists."""
        return Statement(self, {}, rows)

    def bind(self, engine: Engine, values: dict[str, Any]) -> tuple[str, list[Any]]:
        """Return the engine's text and its positional values; KeyError names a missing one."""
        plain = self._plain[engine]
        if plain is not None:
            text, names = plain
            return text, [values[name] for name in names]
        binder = _Binder(engine)
        text = "".join(
            part if isinstance(part, str) else binder.parameter(part, values[part.name]) for part in self._parts
        )
        return _spelled(text, engine), binder.values

    def __repr__(self) -> str:
        return f"<Query {self.name}>"


class Queries:
    """The queries of one file, as attributes."""

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        pieces = _NAME.split(text)
        self._queries = {key: Query(key, body) for key, body in zip(pieces[1::2], pieces[2::2], strict=True)}

    def __getattr__(self, name: str) -> Query:
        try:
            return self._queries[name]
        except KeyError:
            raise AttributeError(f"no query {name!r} in {self._name}.sql") from None

    def __iter__(self) -> Any:
        return iter(self._queries.values())


@cache
def load(name: str) -> Queries:
    """Return the queries of `shared/db/queries/<name>.sql`."""
    path = files("shared.db") / "queries" / f"{name}.sql"
    return Queries(name, path.read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class _Parameter:
    name: str
    kind: str  # one, list, not-list, rows


def _split(text: str) -> list[str | _Parameter]:
    text = re.sub(r"--[^\n]*", "", text)
    parts: list[str | _Parameter] = []
    position = 0
    for match in _PARAMETER.finditer(text):
        parts.append(text[position : match.start()])
        if match["list"]:
            parts.append(_Parameter(match["list"], "not-list" if match["not"] else "list"))
        elif match["rows"]:
            parts.append(_Parameter(match["rows"], "rows"))
        else:
            parts.append(_Parameter(match["one"], "one"))
        position = match.end()
    parts.append(text[position:])
    return parts


def _plain_text(parts: list[str | _Parameter], engine: Engine) -> tuple[str, list[str]] | None:
    """Return the fixed text of a query whose shape doesn't depend on its values."""
    parameters = [part for part in parts if isinstance(part, _Parameter)]
    fixed = {"one"} if engine is Engine.SQLITE else {"one", "list", "not-list"}
    if any(parameter.kind not in fixed for parameter in parameters):
        return None
    names = list(dict.fromkeys(p.name for p in parameters)) if engine is Engine.POSTGRES else []
    text = ""
    for part in parts:
        if isinstance(part, str):
            text += part
        elif engine is Engine.POSTGRES:
            text += _postgres_place(part.kind, names.index(part.name) + 1)
        else:
            names.append(part.name)
            text += "?"
    return _spelled(text, engine), names


def _postgres_place(kind: str, number: int) -> str:
    return {"one": f"${number}", "list": f"= ANY(${number})", "not-list": f"<> ALL(${number})"}[kind]


def _spelled(text: str, engine: Engine) -> str:
    """Put an engine's own words in the place of ours."""
    for mark, words in _WORDS.items():
        text = text.replace(mark, words[engine])
    return text


class _Binder:
    """Numbers the places of a query whose text depends on its values."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.values: list[Any] = []

    def parameter(self, parameter: _Parameter, value: Any) -> str:
        if parameter.kind == "rows":
            if not value:
                raise ValueError(f"{parameter.name}: VALUES needs at least one row")
            return "VALUES " + ",".join(self._tuple(row) for row in value)
        if self._engine is Engine.POSTGRES:
            self.values.append(value)
            return _postgres_place(parameter.kind, len(self.values))
        if parameter.kind == "one":
            self.values.append(value)
            return "?"
        negation = "NOT " if parameter.kind == "not-list" else ""
        return f"{negation}IN {self._tuple(value)}"

    def _tuple(self, row: Sequence[Any]) -> str:
        first = len(self.values) + 1
        self.values.extend(row)
        if len(self.values) > MAX_VALUES:
            raise ValueError(f"more than {MAX_VALUES} values in one statement")
        if self._engine is Engine.SQLITE:
            return "(" + ",".join("?" * len(row)) + ")"
        return "(" + ",".join(f"${number}" for number in range(first, first + len(row))) + ")"
