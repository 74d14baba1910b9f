"""How an extension declares what it brings: commands, tests, tags, match types (one table an extension)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.sieve.comparator import Comparator
    from shared.sieve.compiler import Call, Compiler
    from shared.sieve.run import Run
    from shared.sieve.template import Text, Texts

# Compiled code: closures that take the run.
Operation: TypeAlias = "Callable[[Run], None]"
Check: TypeAlias = "Callable[[Run], bool]"
Matcher: TypeAlias = "Callable[[Run, Sequence[str]], bool]"
Modifier: TypeAlias = "Callable[[Run, Any], Any]"
MakeMatcher: TypeAlias = "Callable[[MatchCall], Matcher]"
EnvelopePart: TypeAlias = "Callable[[Run, str], Sequence[str]]"


class Kind(Enum):
    """What an argument is."""

    STRING = auto()
    STRINGS = auto()
    NUMBER = auto()


class Within(Enum):
    """Which tests an identifier takes."""

    NONE = auto()
    ONE = auto()
    LIST = auto()


STRING, STRINGS, NUMBER = Kind.STRING, Kind.STRINGS, Kind.NUMBER

MATCH = "match"
"""The group of match types; tests that compare have it and the next one."""
COMPARATOR = "comparator"
ADDRESS_PART = "address-part"


@dataclass(frozen=True, slots=True)
class Tag:
    """A tagged argument: its value's kind, the group of which one may be given, tags and extensions it needs.

    `modify` makes the function that changes the command's action, given the checked call.
    """

    name: str
    kind: Kind | None = None
    group: str = ""
    needs: str = ""
    extensions: tuple[str, ...] = ()
    modify: Callable[[Call, Compiler], Modifier] | None = None
    order: int = 0  # modifiers run by it: some change what another brought


@dataclass(frozen=True, slots=True)
class Declaration:
    """A command or test: its positional arguments and what compiles it.

    With `optional` the first positional argument may be left out (the last with `optional_last`).
    """

    name: str
    compile: Callable[[Call, Compiler], Any]
    arguments: tuple[Kind, ...] = ()
    tags: tuple[Tag, ...] = ()
    groups: tuple[str, ...] = ()
    optional: bool = False
    optional_last: bool = False
    within: Within = Within.NONE
    block: bool = False
    extensions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MatchCall:
    """What a match type gets: the keys, the comparator, its own argument, whether it sets match variables."""

    keys: Texts
    comparator: Comparator
    argument: Text | None
    captures: bool
    call: Call
    compiler: Compiler


@dataclass(frozen=True, slots=True)
class MatchType:
    """A match type: its tag's value, and what makes its matcher."""

    name: str
    make: MakeMatcher
    kind: Kind | None = None


@dataclass(frozen=True, slots=True)
class Extension:
    """What one capability string brings; "" is the base language, always there.

    `tags` are added to commands and tests of others, by their name, or to a group of them.
    """

    name: str
    commands: tuple[Declaration, ...] = ()
    tests: tuple[Declaration, ...] = ()
    tags: Mapping[str, tuple[Tag, ...]] = field(default_factory=dict)
    matches: tuple[MatchType, ...] = ()
    envelope_parts: Mapping[str, EnvelopePart] = field(default_factory=dict)
    implies: tuple[str, ...] = ()
