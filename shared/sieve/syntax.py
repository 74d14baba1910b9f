"""The syntax tree of a script: every node knows its line and column, counted from 1 (RFC 5228 §8.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class String:
    """A quoted string or a text: block, escapes and dots undone, its line ends CRLF."""

    value: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Strings:
    """A list of strings, or one string without brackets."""

    items: tuple[String, ...]
    line: int
    column: int
    bracketed: bool


@dataclass(frozen=True, slots=True)
class Number:
    """A number with its quantifier worked out."""

    value: int
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class TagName:
    """A tagged argument's name in lower case, without its colon."""

    name: str
    line: int
    column: int


Argument: TypeAlias = Strings | Number | TagName


@dataclass(frozen=True, slots=True)
class Test:
    """A test; `listed` says that the tests within are in parentheses, `start` and `end` where its text lies."""

    name: str
    arguments: tuple[Argument, ...]
    tests: tuple[Test, ...]
    listed: bool
    line: int
    column: int
    start: int
    end: int
    depth: int


@dataclass(frozen=True, slots=True)
class Command:
    """A command; `block` is None when it ends with a semicolon. `end` is where its own text ends, the block apart."""

    name: str
    arguments: tuple[Argument, ...]
    tests: tuple[Test, ...]
    listed: bool
    block: tuple[Command, ...] | None
    line: int
    column: int
    start: int
    end: int
    depth: int


Node: TypeAlias = Test | Command
