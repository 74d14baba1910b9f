"""Strings of a script: constant, or with variables to be put in (RFC 5229 §3, RFC 5228 §2.4.2.4)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from shared.sieve.errors import Fault, RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shared.sieve.limits import Limits
    from shared.sieve.run import Run
    from shared.sieve.syntax import String, Strings

# variable-ref = "${" *namespace variable-name "}" (RFC 5229 §3)
_REFERENCE = re.compile(r"\$\{(?:([0-9]{1,9})|((?:[A-Za-z_][A-Za-z0-9_]*\.)*[A-Za-z_][A-Za-z0-9_]*))\}")
_HEX = re.compile(r"\$\{hex:\s*+((?:[0-9a-f]{1,2})(?:\s++[0-9a-f]{1,2})*)\s*+\}", re.IGNORECASE)
_UNICODE = re.compile(r"\$\{unicode:\s*+((?:[0-9a-f]{1,8})(?:\s++[0-9a-f]{1,8})*)\s*+\}", re.IGNORECASE)
# Runs of hex octets are joined before they are read as UTF-8: one character may take several.
_HEX_RUN = re.compile(rf"(?:{_HEX.pattern})+", re.IGNORECASE)
_MAX_CODE_POINT = 0x10FFFF


class Text:
    """A string argument; call it with the run to get its value."""

    __slots__ = ("constant", "node", "pieces")

    def __init__(self, node: String, constant: str | None, pieces: Sequence[str | Callable[[Run], str]]) -> None:
        self.node = node
        self.constant = constant
        self.pieces = pieces

    def __call__(self, run: Run) -> str:
        if self.constant is not None:
            return self.constant
        value = "".join([piece if isinstance(piece, str) else piece(run) for piece in self.pieces])
        run.charge(len(value))
        if len(value) > run.limits.string_length:
            raise RunError(f"a string is longer than {run.limits.string_length} characters with its variables")
        return value


class Texts:
    """A list of strings; call it with the run to get the values."""

    __slots__ = ("constant", "items", "node")

    def __init__(self, node: Strings, items: tuple[Text, ...]) -> None:
        self.node = node
        self.items = items
        constants = [item.constant for item in items if item.constant is not None]
        self.constant = tuple(constants) if len(constants) == len(items) else None

    def __call__(self, run: Run) -> tuple[str, ...]:
        if self.constant is not None:
            return self.constant
        return tuple([item(run) for item in self.items])


def make_text(node: String, *, variables: bool, encoded: bool, namespaces: Sequence[str]) -> Text:
    """A string of the script; Fault for an unknown namespace or a character that there isn't."""
    value = decode_characters(node) if encoded else node.value
    if not variables or "${" not in value:
        return Text(node, value, ())
    pieces: list[str | Callable[[Run], str]] = []
    at = 0
    for match in _REFERENCE.finditer(value):
        if match.start() > at:
            pieces.append(value[at : match.start()])
        pieces.append(_reference(match, node, namespaces))
        at = match.end()
    if not pieces:
        return Text(node, value, ())
    if at < len(value):
        pieces.append(value[at:])
    return Text(node, None, pieces)


def make_texts(node: Strings, limits: Limits, make: Callable[[String], Text]) -> Texts:
    """A list of strings, within the limit on its length."""
    if len(node.items) > limits.list_items:
        raise Fault(f"a list has at most {limits.list_items} strings", node.line, node.column)
    return Texts(node, tuple([make(item) for item in node.items]))


def decode_characters(node: String) -> str:
    """Encoded characters undone (RFC 5228 §2.4.2.4); what isn't of their form stays as it is."""
    value = node.value
    lowered = value.lower()
    if "${hex:" in lowered:
        value = _HEX_RUN.sub(lambda match: _hex_octets(match[0], node), value)
    if "${unicode:" in lowered:
        value = _UNICODE.sub(lambda match: _code_points(match[1], node), value)
    return value


def _hex_octets(run: str, node: String) -> str:
    octets = b"".join(bytes(int(pair, 16) for pair in match[1].split()) for match in _HEX.finditer(run))
    if b"\0" in octets:
        raise Fault("${hex:…} may not make a NUL", node.line, node.column)
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise Fault("${hex:…} makes octets that are not UTF-8", node.line, node.column) from None


def _code_points(numbers: str, node: String) -> str:
    points = [int(number, 16) for number in numbers.split()]
    for point in points:
        if point > _MAX_CODE_POINT or 0xD800 <= point <= 0xDFFF or point == 0:
            raise Fault(f"${{unicode:{point:x}}} is no character", node.line, node.column)
    return "".join(map(chr, points))


def _reference(match: re.Match[str], node: String, namespaces: Sequence[str]) -> Callable[[Run], str]:
    if match[1] is not None:
        number = int(match[1])
        return lambda run: run.scope.matched(number)
    name = match[2].lower()
    namespace, dot, rest = name.rpartition(".")
    if not dot:
        return lambda run: run.scope.get(name)
    if namespace not in namespaces:
        raise Fault(f'there is no namespace "{namespace}"', node.line, node.column)
    return lambda run: run.globals.get(rest, "")
