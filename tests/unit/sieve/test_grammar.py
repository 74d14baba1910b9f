"""The lexer and the grammar (RFC 5228 §2 and §8), and where errors are said to be."""

from __future__ import annotations

import pytest

from shared.sieve import Limits, check
from shared.sieve.errors import Fault
from shared.sieve.grammar import decode_script, parse
from shared.sieve.syntax import Number, Strings, TagName


def test_a_command_with_every_kind_of_argument() -> None:
    (command,) = parse('Foo :Tag 10K ["a", "b"] "c";')
    assert command.name == "foo"
    tag, number, several, one = command.arguments
    assert isinstance(tag, TagName) and tag.name == "tag"
    assert isinstance(number, Number) and number.value == 10240
    assert isinstance(several, Strings) and [item.value for item in several.items] == ["a", "b"]
    assert isinstance(one, Strings) and not one.bracketed
    assert (one.line, one.column) == (1, 25)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'"a\"b\\c\d"', 'a"b\\cd'),
        ('"two\r\nlines"', "two\r\nlines"),
        ('"two\nlines"', "two\r\nlines"),
        ("text:\r\nhello\r\n..dot\r\n.\r\n", "hello\r\n.dot\r\n"),
        ("TEXT: # a comment\n.\n", ""),
        ("text:\n.x\n.\n", ".x\r\n"),  # RFC 5228 §8.1: only a doubled dot is halved
        ('"/* not a comment */ # neither"', "/* not a comment */ # neither"),
    ],
)
def test_strings(text: str, value: str) -> None:
    (command,) = parse(f"foo {text};")
    argument = command.arguments[0]
    assert isinstance(argument, Strings)
    assert argument.items[0].value == value


def test_comments_and_blanks() -> None:
    commands = parse("# one\r\nkeep /* two\r\n ** three */ ; # four")
    assert [command.name for command in commands] == ["keep"]
    assert parse("") == ()
    assert parse("\ufeffkeep;")[0].name == "keep"


def test_quantifiers() -> None:
    numbers = [argument for command in parse("a 1; b 2k; c 3M; d 1G; e 007;") for argument in command.arguments]
    assert [number.value for number in numbers if isinstance(number, Number)] == [1, 2048, 3 << 20, 1 << 30, 7]


@pytest.mark.parametrize(
    ("script", "line", "column", "message"),
    [
        ("keep", 1, 5, "the script ends too early"),
        ('keep;\nfileinto "x', 2, 10, "no closing quote"),
        ("keep;\n/* x", 2, 1, "this comment has no end"),
        ("keep;\n\n  }", 3, 3, 'found "}"'),
        ("if true { keep;", 1, 16, "the script ends too early"),
        ("foo [];", 1, 6, "expected a string"),
        ('foo ["a" "b"];', 1, 10, 'expected "," or "]"'),
        ("size 10X;", 1, 6, "a number may only be followed by K, M or G"),
        ("foo 99999999999999999999;", 1, 5, "is larger than"),
        ("foo text:\nbar\n;", 1, 9, "text: block"),
        ("foo : x;", 1, 5, "a tag needs a name"),
        ("keep\u00e9;", 1, 5, "unexpected character"),
        ("if true keep;", 1, 1, "needs a block"),
        ('foo "a\0b";', 1, 5, "string"),
    ],
)
def test_syntax_errors_have_their_place(script: str, line: int, column: int, message: str) -> None:
    (error,) = check(script)
    assert (error.line, error.column) == (line, column)
    assert message in error.message


def test_nesting_is_limited_without_recursion() -> None:
    (error,) = check("if " + "not " * 50_000 + "true { }")
    assert "nested deeper than 32" in error.message
    (error,) = check("if true { " * 3000 + "}" * 3000)
    assert "nested deeper than 32" in error.message


def test_size_is_limited() -> None:
    (error,) = check("keep;" * 100, limits=Limits(script_bytes=100))
    assert error.message == "a script has at most 100 octets, this one has 500"


def test_octets_that_are_not_utf8() -> None:
    with pytest.raises(Fault) as caught:
        decode_script("keep;\n# é".encode() + b"\xff")
    assert (caught.value.line, caught.value.column) == (2, 4)
    (error,) = check(b"\xff")
    assert (error.line, error.column) == (1, 1)
