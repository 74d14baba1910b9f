"""From the syntax tree to closures, every command and test checked against the language's tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.sieve.comparator import ASCII_CASEMAP, COMPARATORS
from shared.sieve.declare import (
    ADDRESS_PART,
    COMPARATOR,
    MATCH,
    NUMBER,
    STRING,
    Declaration,
    Kind,
    MatchCall,
    Tag,
    Within,
)
from shared.sieve.errors import Fault, RunError, SieveError
from shared.sieve.limits import MAX_ERRORS
from shared.sieve.syntax import Command, Number, String, Strings, TagName, Test
from shared.sieve.template import Text, Texts, make_text, make_texts
from shared.sieve.trace import TraceEvent, TraceKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.sieve.comparator import Comparator
    from shared.sieve.declare import Check, Matcher, Modifier, Operation
    from shared.sieve.language import Language
    from shared.sieve.limits import Limits
    from shared.sieve.run import Run
    from shared.sieve.syntax import Argument, Node

COST_OF_VALUE = 100
"""Characters that one value counts for besides its length: what it costs to look at it at all."""

_KIND_NAMES = {Kind.STRING: "a string", Kind.STRINGS: "a string or a list of strings", Kind.NUMBER: "a number"}


class Compiler:
    """One script on its way to code; `errors` fills up while it goes on with the next command."""

    def __init__(self, source: str, name: str, language: Language, limits: Limits) -> None:
        self.source = source
        self.name = name
        self.language = language
        self.limits = limits
        self.required: set[str] = {""}
        self.errors: list[SieveError] = []
        self.expressions = 0  # regular expressions so far
        self.loops: list[str] = []  # names of the foreverypart blocks around, "" for none
        self.may_require = True
        self.known: dict[int, bool] = {}  # tests whose outcome is known beforehand (ihave), by id of the node

    def has(self, extension: str) -> bool:
        """Whether the script has required an extension."""
        return extension in self.required

    def require(self, extension: str) -> None:
        """Turn an extension on, and what it implies."""
        self.required.add(extension)
        self.required.update(self.language.implied(extension))

    def report(self, fault: Fault) -> None:
        """Note an error and go on."""
        if len(self.errors) < MAX_ERRORS:
            self.errors.append(SieveError(fault.line, fault.column, fault.message, self.name))

    def block(self, commands: Sequence[Command]) -> tuple[Operation, ...]:
        """The code of a list of commands; if, elsif and else become one operation."""
        operations: list[Operation] = []
        index = 0
        while index < len(commands):
            command = commands[index]
            if command.name != "require":
                self.may_require = False
            chain = 1
            if command.name == "if":
                while index + chain < len(commands) and commands[index + chain].name in ("elsif", "else"):
                    chain += 1
                    if commands[index + chain - 1].name == "else":
                        break
                operations.append(self._conditional(commands[index : index + chain]))
            else:
                operation = self._command(command)
                if operation is not None:
                    operations.append(operation)
            index += chain
        return tuple(operations)

    def test(self, node: Test) -> Check:
        """The code of one test, counted and traced."""
        declaration = self._declaration(self.language.tests, node, "test")
        call = self._call(node, declaration)
        check: Check = declaration.compile(call, self)
        return self._traced_test(node, check)

    def text(self, node: String) -> Text:
        """A string with its encoded characters undone and its variables found."""
        return make_text(
            node,
            variables=self.has("variables"),
            encoded=self.has("encoded-character"),
            namespaces=("global",) if self.has("include") else (),
        )

    def texts(self, node: Strings) -> Texts:
        """A list of strings, likewise."""
        return make_texts(node, self.limits, self.text)

    def _conditional(self, chain: Sequence[Command]) -> Operation:
        """An if with its elsif and else; branches that ihave rules out are not looked at (RFC 5463 §4)."""
        branches: list[tuple[Check, tuple[Operation, ...]]] = []
        otherwise: tuple[Operation, ...] = ()
        decided = False
        for command in chain:
            try:
                check = self._condition(command)
            except Fault as fault:
                self.report(fault)
                check = _never
            known = self.known.get(id(command.tests[0])) if command.tests else True
            if decided or known is False:
                continue
            body = self.block(command.block or ())
            if command.name == "else":
                otherwise = body
            else:
                branches.append((check, body))
                decided = known is True
        return _choose(tuple(branches), otherwise)

    def _condition(self, command: Command) -> Check:
        if command.block is None:
            raise Fault(f'"{command.name}" needs a block in braces', command.line, command.column)
        if command.arguments:
            raise _unexpected(command.arguments[0], command)
        if command.name == "else":
            if command.tests:
                raise Fault('"else" takes no test', command.line, command.column)
            return _never
        if len(command.tests) != 1 or command.listed:
            raise Fault(f'"{command.name}" needs exactly one test', command.line, command.column)
        return self.test(command.tests[0])

    def _command(self, node: Command) -> Operation | None:
        try:
            declaration = self._declaration(self.language.commands, node, "command")
            if (node.block is not None) != declaration.block:
                problem = "needs a block in braces" if declaration.block else "takes no block"
                raise Fault(f'"{node.name}" {problem}', node.line, node.column)
            call = self._call(node, declaration)
            operation: Operation | None = declaration.compile(call, self)
        except Fault as fault:
            self.report(fault)
            return None
        return None if operation is None else self._traced_command(node, operation)

    def _declaration(self, table: dict[str, Declaration], node: Node, what: str) -> Declaration:
        declaration = table.get(node.name)
        if declaration is None:
            raise Fault(self._unknown(node, what), node.line, node.column)
        if not self._available(declaration.extensions):
            needed = " or ".join(f'"{name}"' for name in declaration.extensions)
            raise Fault(f'the {what} "{node.name}" needs require {needed}', node.line, node.column)
        return declaration

    def _unknown(self, node: Node, what: str) -> str:
        other = self.language.tests if what == "command" else self.language.commands
        if node.name in ("elsif", "else") and what == "command":
            return f'"{node.name}" without an "if" before it'
        if node.name in other:
            return f'"{node.name}" is not a {what}, but a {"test" if what == "command" else "command"}'
        return f'unknown {what} "{node.name}"'

    def _available(self, extensions: tuple[str, ...]) -> bool:
        return not extensions or any(self.has(name) for name in extensions)

    def _call(self, node: Node, declaration: Declaration) -> Call:
        call = Call(node, declaration)
        plain: list[Strings | Number] = []
        rest = list(node.arguments)
        while rest:
            argument = rest.pop(0)
            if not isinstance(argument, TagName):
                plain.append(argument)
                continue
            if plain:
                raise Fault(f'the tag ":{argument.name}" must come before the other arguments', *_at(argument))
            tag = self._tag(argument, node, declaration)
            value: Text | Texts | int | None = None
            if tag.kind is not None:
                value = self._value(rest.pop(0) if rest else None, tag.kind, f'":{tag.name}"', argument)
            call.add(tag, value, argument)
        call.check_needs()
        self._positional(call, plain)
        self._within(node, declaration)
        return call

    def _tag(self, name: TagName, node: Node, declaration: Declaration) -> Tag:
        candidates = self.language.tags_of(declaration, name.name)
        if not candidates:
            raise Fault(f'"{node.name}" takes no tag ":{name.name}"', name.line, name.column)
        for tag in candidates:
            if self._available(tag.extensions):
                return tag
        needed = " or ".join(f'"{extension}"' for extension in candidates[0].extensions)
        raise Fault(f'the tag ":{name.name}" of "{node.name}" needs require {needed}', name.line, name.column)

    def _positional(self, call: Call, plain: list[Strings | Number]) -> None:
        node, declaration = call.node, call.declaration
        kinds = list(declaration.arguments)
        if len(plain) == len(kinds) - 1 and declaration.optional:
            kinds.pop(0)
        elif len(plain) == len(kinds) - 1 and declaration.optional_last:
            kinds.pop()
        if len(plain) > len(kinds):
            raise _unexpected(plain[len(kinds)], node)
        for number, kind in enumerate(kinds):
            argument = plain[number] if number < len(plain) else None
            call.arguments.append(self._value(argument, kind, f'argument {number + 1} of "{node.name}"', node))

    def _value(self, node: Argument | None, kind: Kind, what: str, place: Node | TagName) -> Text | Texts | int:
        if node is None or isinstance(node, TagName):
            raise Fault(f"{what} is missing: {_KIND_NAMES[kind]} is expected", *_at(node or place))
        if kind is NUMBER:
            if isinstance(node, Number):
                return node.value
        elif isinstance(node, Strings):
            if kind is not STRING:
                return self.texts(node)
            if not node.bracketed:
                return self.text(node.items[0])
        raise Fault(f"{what} must be {_KIND_NAMES[kind]}", node.line, node.column)

    def _within(self, node: Node, declaration: Declaration) -> None:
        match declaration.within:
            case Within.NONE if node.tests:
                raise Fault(f'"{node.name}" takes no test', node.tests[0].line, node.tests[0].column)
            case Within.ONE if len(node.tests) != 1 or node.listed:
                raise Fault(f'"{node.name}" needs exactly one test', node.line, node.column)
            case Within.LIST if not node.listed:
                raise Fault(f'"{node.name}" needs a list of tests in parentheses', node.line, node.column)

    def _traced_test(self, node: Test, check: Check) -> Check:
        text, line, column, name = self._shown(node), node.line, node.column, self.name

        def test(run: Run) -> bool:
            run.steps -= 1
            if run.steps < 0:
                raise run.out_of_steps().at(line, column, name)
            try:
                if run.trace is None:
                    return check(run)
                outer, run.compared = run.compared, []
                run.depth += 1
                result = check(run)
                run.depth -= 1
            except RunError as error:
                raise error.at(line, column, name) from None
            why = "; ".join(run.compared)
            run.compared = outer
            run.trace.append(TraceEvent(TraceKind.TEST, line, column, text, result, why, run.depth, name))
            return result

        return test

    def _traced_command(self, node: Command, operation: Operation) -> Operation:
        text, line, column, name = self._shown(node), node.line, node.column, self.name

        def command(run: Run) -> None:
            run.steps -= 1
            if run.steps < 0:
                raise run.out_of_steps().at(line, column, name)
            if run.trace is not None:
                run.trace.append(TraceEvent(TraceKind.COMMAND, line, column, text, None, "", run.depth, name))
            try:
                operation(run)
            except RunError as error:
                raise error.at(line, column, name) from None

        return command

    def _shown(self, node: Node) -> str:
        return " ".join(self.source[node.start : node.end].split())


class Call:
    """A command or test as it was written, its arguments checked: what a declaration's compile function reads."""

    def __init__(self, node: Node, declaration: Declaration) -> None:
        self.node = node
        self.declaration = declaration
        self.arguments: list[Text | Texts | int] = []
        self.tags: dict[str, Text | Texts | int | None] = {}
        self._given: dict[str, tuple[Tag, TagName]] = {}

    def add(self, tag: Tag, value: Text | Texts | int | None, name: TagName) -> None:
        """Take a tag; Fault when it or another of its group is there already."""
        if tag.name in self.tags:
            raise Fault(f'the tag ":{tag.name}" is given twice', name.line, name.column)
        for other, _ in self._given.values():
            if tag.group and other.group == tag.group:
                raise Fault(f'":{tag.name}" can\'t be used together with ":{other.name}"', name.line, name.column)
        self.tags[tag.name] = value
        self._given[tag.name] = (tag, name)

    def check_needs(self) -> None:
        """Fault when a tag lacks the one that it belongs to."""
        for tag, name in self._given.values():
            if tag.needs and tag.needs not in self.tags:
                raise Fault(f'":{tag.name}" needs ":{tag.needs}"', name.line, name.column)

    def has(self, tag: str) -> bool:
        """Whether a tag was given."""
        return tag in self.tags

    def given(self, group: str) -> Tag | None:
        """The tag of a group that was given, or None."""
        return next((tag for tag, _ in self._given.values() if tag.group == group), None)

    def fault(self, message: str) -> Fault:
        """An error at this command or test."""
        return Fault(message, self.node.line, self.node.column)

    def tag_fault(self, tag: str, message: str) -> Fault:
        """An error at one of its tags."""
        name = self._given[tag][1]
        return Fault(message, name.line, name.column)

    def text(self, index: int) -> Text:
        """A positional argument that is a string."""
        value = self.arguments[index]
        assert isinstance(value, Text)
        return value

    def texts(self, index: int) -> Texts:
        """A positional argument that is a list of strings."""
        value = self.arguments[index]
        assert isinstance(value, Texts)
        return value

    def number(self, index: int) -> int:
        """A positional argument that is a number."""
        value = self.arguments[index]
        assert isinstance(value, int)
        return value

    def tag_text(self, tag: str) -> Text | None:
        """A tag's string, or None when it wasn't given."""
        value = self.tags.get(tag)
        assert value is None or isinstance(value, Text)
        return value

    def tag_texts(self, tag: str) -> Texts | None:
        """A tag's list of strings, or None."""
        value = self.tags.get(tag)
        assert value is None or isinstance(value, Texts)
        return value

    def tag_number(self, tag: str) -> int | None:
        """A tag's number, or None."""
        value = self.tags.get(tag)
        assert value is None or isinstance(value, int)
        return value

    def modifiers(self, compiler: Compiler) -> tuple[Modifier, ...]:
        """What the tags of other extensions do to this command's action."""
        tags = sorted((tag for tag, _ in self._given.values()), key=lambda tag: tag.order)
        return tuple(tag.modify(self, compiler) for tag in tags if tag.modify is not None)

    def comparator(self, compiler: Compiler) -> Comparator:
        """The comparator that was given, or i;ascii-casemap (RFC 5228 §2.7.3)."""
        text = self.tag_text(COMPARATOR)
        if text is None:
            return ASCII_CASEMAP
        comparator = COMPARATORS.get(text.constant or "")
        if comparator is None:
            raise self.tag_fault(COMPARATOR, f'unknown comparator "{text.node.value}"')
        if comparator.required and not compiler.has(f"comparator-{comparator.name}"):
            raise self.tag_fault(
                COMPARATOR, f'the comparator "{comparator.name}" needs require "comparator-{comparator.name}"'
            )
        return comparator

    def address_part(self) -> str:
        """Which part of an address is compared (RFC 5228 §2.7.4)."""
        tag = self.given(ADDRESS_PART)
        return "all" if tag is None else tag.name

    def matcher(self, keys: Texts, compiler: Compiler, *, captures: bool = True) -> Matcher:
        """What compares values with the keys, as match type and comparator say."""
        tag = self.given(MATCH)
        match_type = compiler.language.matches["is" if tag is None else tag.name]
        argument = self.tag_text(tag.name) if tag is not None and tag.kind is STRING else None
        captures = captures and compiler.has("variables")
        use = MatchCall(keys, self.comparator(compiler), argument, captures, self, compiler)
        matcher = match_type.make(use)

        def match(run: Run, values: Sequence[str]) -> bool:
            run.charge(COST_OF_VALUE * len(values))
            if run.trace is not None:
                run.saw(values)
            return matcher(run, values)

        return match


def _choose(branches: tuple[tuple[Check, tuple[Operation, ...]], ...], otherwise: tuple[Operation, ...]) -> Operation:
    def conditional(run: Run) -> None:
        chosen = otherwise
        for check, body in branches:
            if check(run):
                chosen = body
                break
        run.depth += 1
        for operation in chosen:
            operation(run)
        run.depth -= 1

    return conditional


def _never(run: Run) -> bool:
    return False


def _at(node: Node | Argument) -> tuple[int, int]:
    return node.line, node.column


def _unexpected(argument: Argument, node: Node) -> Fault:
    if isinstance(argument, TagName):
        return Fault(f'"{node.name}" takes no tag ":{argument.name}"', argument.line, argument.column)
    return Fault(f'"{node.name}" takes no further argument here', argument.line, argument.column)
