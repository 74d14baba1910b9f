"""The values of an IMAP response as octets, lists and None: for servers' own strings, and by the grammar alone."""

from __future__ import annotations

import re
from typing import TypeAlias

Value: TypeAlias = "bytes | list[Value] | None"

QUOTED_BY_GRAMMAR = re.compile(rb'"((?:[\x01-\x09\x0b\x0c\x0e-\x21\x23-\x5b\x5d-\x7f]|\\["\\])*)"')
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_LITERAL = re.compile(rb"~?\{(\d+)\}\r\n")
_ATOM = re.compile(rb"[^\s()\"{]*\[[^\]]*\](?:<\d+>)?|[^\s()\"{]+")


def parse_value(wire: bytes, at: int, quoted: re.Pattern[bytes] = _QUOTED) -> tuple[Value, int]:
    """The value at a place of a response, and where it ends; lists may be as deep as they like."""
    stack: list[list[Value]] = []
    while True:
        value: Value
        if wire[at : at + 1] == b" ":
            at += 1
            continue
        if wire[at : at + 1] == b"(":
            stack.append([])
            at += 1
            continue
        if wire[at : at + 1] == b")":
            value, at = stack.pop(), at + 1
        elif match := quoted.match(wire, at):
            value, at = _ESCAPE.sub(rb"\1", match[1]), match.end()
        elif match := _LITERAL.match(wire, at):
            at = match.end() + int(match[1])
            value = wire[match.end() : at]
        else:
            match = _ATOM.match(wire, at)
            assert match, wire[at : at + 80]
            value, at = None if match[0].upper() == b"NIL" else match[0], match.end()
        if not stack:
            return value, at
        stack[-1].append(value)
