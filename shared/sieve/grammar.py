"""From a script's text to its syntax tree, by the grammar of RFC 5228 §8."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken, VisitError

from shared.sieve.errors import Fault
from shared.sieve.limits import DEFAULT, MAX_NUMBER, Limits
from shared.sieve.syntax import Argument, Command, Number, String, Strings, TagName, Test

# Possessive where a failing match would backtrack: a script's author mustn't choose how long parsing takes.
GRAMMAR = r"""
start: command*
command: IDENTIFIER arguments (";" | block)
block: "{" command* "}"
arguments: argument* (test | test_list)?
argument: string_list | string | NUMBER | TAG
string_list: "[" string ("," string)* LIST_END
string: QUOTED | TEXT
test: IDENTIFIER arguments
test_list: "(" test ("," test)* TESTS_END

LIST_END: "]"
TESTS_END: ")"
IDENTIFIER: /[A-Za-z_][A-Za-z0-9_]*/
TAG: /:[A-Za-z_][A-Za-z0-9_]*/
NUMBER: /[0-9]+[KMGkmg]?(?![A-Za-z0-9_])/
QUOTED: /"(?:[^"\\\0]++|\\[^\0])*"/
TEXT.2: /[Tt][Ee][Xx][Tt]:[ \t]*+(?:#[^\n]*+)?\r?\n(?:(?!\.\r?(?:\n|\Z))[^\n\0]*+\n)*\.\r?(?:\n|\Z)/
HASH_COMMENT: /#[^\n]*+/
BRACKET_COMMENT: /\/\*(?:[^*]++|\*(?!\/))*\*\//
SPACE: /[ \t\r\n]++/
%ignore HASH_COMMENT
%ignore BRACKET_COMMENT
%ignore SPACE
"""

_QUANTIFIERS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_LINE_END = re.compile(r"\r?\n")
_NAMES = {
    "SEMICOLON": '";"',
    "COMMA": '","',
    "LBRACE": '"{"',
    "RBRACE": '"}"',
    "LPAR": '"("',
    "TESTS_END": '")"',
    "LSQB": '"["',
    "LIST_END": '"]"',
    "IDENTIFIER": "a name",
    "TAG": "a tag",
    "NUMBER": "a number",
    "QUOTED": "a string",
    "TEXT": "a string",
    "$END": "the end of the script",
}
_BYTE_ORDER_MARK = "\ufeff"


def parse(source: str, limits: Limits = DEFAULT) -> tuple[Command, ...]:
    """The commands of a script; raises Fault with the place of its first syntax error."""
    if source.startswith(_BYTE_ORDER_MARK):
        source = " " + source[1:]
    try:
        commands: tuple[Command, ...] = _PARSER.parse(source)  # type: ignore[assignment]
    except UnexpectedInput as error:
        raise _fault(source, error) from None
    except VisitError as error:  # the builder's own complaint, wrapped by lark
        if isinstance(error.orig_exc, Fault):
            raise error.orig_exc from None
        raise
    for command in commands:
        _check_depth(command, limits.nesting)
    return commands


def decode_script(data: bytes) -> str:
    """A script's octets as text (RFC 5228 §2.1: UTF-8); Fault says where they aren't."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        line_start = before.rfind("\n") + 1
        raise Fault(
            "the script is not valid UTF-8 here", before.count("\n") + 1, len(before) - line_start + 1
        ) from None


class _Arguments(NamedTuple):
    plain: tuple[Argument, ...]
    tests: tuple[Test, ...]
    listed: bool
    end: int
    depth: int


class _Positioned(NamedTuple):
    """Something with the offset after it, while the tree is built."""

    value: Any
    end: int
    depth: int = 0


class _Builder(Transformer[Token, Any]):
    """Builds nodes bottom up while lark parses, so that no nesting recurses."""

    def start(self, children: list[Command]) -> tuple[Command, ...]:
        return tuple(children)

    def string(self, children: list[Token]) -> _Positioned:
        token = children[0]
        return _Positioned(String(_string_value(token), token.line or 1, token.column or 1), token.end_pos or 0)

    def string_list(self, children: list[Any]) -> _Positioned:
        end: Token = children.pop()
        items = tuple(child.value for child in children)
        return _Positioned(Strings(items, items[0].line, items[0].column, True), end.end_pos or 0)

    def argument(self, children: list[Any]) -> _Positioned:
        child = children[0]
        if isinstance(child, _Positioned):
            if isinstance(child.value, String):
                text = child.value
                return _Positioned(Strings((text,), text.line, text.column, False), child.end)
            return child
        line, column, end = child.line, child.column, child.end_pos
        if child.type == "TAG":
            return _Positioned(TagName(child[1:].lower(), line, column), end)
        return _Positioned(Number(_number_value(child), line, column), end)

    def test_list(self, children: list[Any]) -> _Positioned:
        end: Token = children.pop()
        return _Positioned(tuple(children), end.end_pos or 0)

    def arguments(self, children: list[Any]) -> _Arguments:
        tests: tuple[Test, ...] = ()
        listed, end = False, 0
        if children:
            last = children[-1]
            end = last.end
            listed = isinstance(last, _Positioned) and isinstance(last.value, tuple)
            if listed or isinstance(last, Test):
                tests = last.value if listed else (last,)
                children.pop()
        depth = max((test.depth for test in tests), default=0)
        return _Arguments(tuple(child.value for child in children), tests, listed, end, depth)

    def test(self, children: list[Any]) -> Test:
        name, arguments = children
        end = max(arguments.end, name.end_pos)
        return Test(
            name.lower(),
            arguments.plain,
            arguments.tests,
            arguments.listed,
            name.line,
            name.column,
            name.start_pos,
            end,
            arguments.depth + 1,
        )

    def block(self, children: list[Command]) -> _Positioned:
        return _Positioned(tuple(children), 0, max((child.depth for child in children), default=0))

    def command(self, children: list[Any]) -> Command:
        name, arguments = children[0], children[1]
        block = children[2] if len(children) > 2 else None
        return Command(
            name.lower(),
            arguments.plain,
            arguments.tests,
            arguments.listed,
            None if block is None else block.value,
            name.line,
            name.column,
            name.start_pos,
            max(arguments.end, name.end_pos),
            1 + max(arguments.depth, 0 if block is None else block.depth),
        )


_PARSER = Lark(GRAMMAR, parser="lalr", transformer=_Builder())


def _string_value(token: Token) -> str:
    text = str(token)
    if token.type == "QUOTED":
        text = text[1:-1]
        if "\\" in text:
            text = _ESCAPE.sub(r"\1", text)
        return _LINE_END.sub("\r\n", text) if "\n" in text else text
    lines = text[text.index("\n") + 1 :].rstrip("\r\n").split("\n")[:-1]
    stripped = (line.rstrip("\r") for line in lines)
    return "".join((line[1:] if line.startswith("..") else line) + "\r\n" for line in stripped)


def _number_value(token: Token) -> int:
    text = str(token)
    factor = _QUANTIFIERS.get(text[-1].upper(), 1)
    digits = (text[:-1] if factor > 1 else text).lstrip("0") or "0"
    value = int(digits) * factor if len(digits) <= len(str(MAX_NUMBER)) else MAX_NUMBER + 1
    if value > MAX_NUMBER:
        raise Fault(f"the number {text[:30]} is larger than {MAX_NUMBER}", token.line or 1, token.column or 1)
    return value


def _check_depth(command: Command, nesting: int) -> None:
    if command.depth > nesting:
        raise Fault(f"blocks or tests are nested deeper than {nesting} levels", command.line, command.column)


def _fault(source: str, error: UnexpectedInput) -> Fault:
    if isinstance(error, UnexpectedCharacters):
        return Fault(_lexical(source, error.pos_in_stream or 0), error.line, error.column)
    if isinstance(error, UnexpectedToken):
        token: Token = error.token
        expected = sorted({_NAMES.get(name, name) for name in error.accepts or error.expected})
        if token.type == "$END":
            lines = source.split("\n")
            return Fault(f"the script ends too early: expected {_either(expected)}", len(lines), len(lines[-1]) + 1)
        return Fault(f"expected {_either(expected)}, found {_shown(token)}", token.line or 1, token.column or 1)
    return Fault("the script can't be parsed", error.line, error.column)


def _lexical(source: str, at: int) -> str:
    rest = source[at : at + 6]
    if rest.startswith('"'):
        return "this string has no closing quote"
    if rest.startswith("/*"):
        return "this comment has no end"
    if rest[:1] == ":" and source[max(0, at - 4) : at].lower() == "text":
        return 'this text: block has no line with only a "." at its end'
    if rest[:1] == ":":
        return "a tag needs a name after its colon"
    if rest[:1].isdigit():
        return "a number may only be followed by K, M or G"
    return f"unexpected character {rest[:1]!r}"


def _either(expected: list[str]) -> str:
    if '";"' in expected:
        expected = ['";"', "an argument"]
    return " or ".join([", ".join(expected[:-1]), expected[-1]]) if len(expected) > 1 else "".join(expected)


def _shown(token: Token) -> str:
    text = str(token).split("\n", 1)[0]
    return text[:40] if text.startswith('"') else f'"{text[:40]}"'
