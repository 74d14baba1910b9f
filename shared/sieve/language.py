"""The whole language as tables, put together from what each extension declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.sieve.comparator import COMPARATORS
from shared.sieve.declare import MATCH, Tag
from shared.sieve.extensions import EXTENSIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from shared.sieve.declare import Declaration, EnvelopePart, Extension, MatchType


class Language:
    """The commands, tests, tags and match types of a set of extensions."""

    def __init__(self, extensions: Iterable[Extension]) -> None:
        self.commands: dict[str, Declaration] = {}
        self.tests: dict[str, Declaration] = {}
        self.matches: dict[str, MatchType] = {}
        self.envelope_parts: dict[str, tuple[str, EnvelopePart]] = {}
        self._tags: dict[tuple[str, str], list[Tag]] = {}
        self._implied: dict[str, tuple[str, ...]] = {}
        self._names: list[str] = []
        for extension in extensions:
            self._add(extension)

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What require accepts, as ManageSieve announces it."""
        comparators = [f"comparator-{name}" for name in COMPARATORS]
        return tuple(sorted([name for name in self._names if name] + comparators))

    def knows(self, capability: str) -> bool:
        """Whether require accepts this."""
        return capability in self._names or capability.removeprefix("comparator-") in COMPARATORS

    def implied(self, extension: str) -> tuple[str, ...]:
        """Which extensions come with one."""
        return self._implied.get(extension, ())

    def tags_of(self, declaration: Declaration, name: str) -> Sequence[Tag]:
        """What a tag's name may mean for a command or test, whether required or not."""
        own = [tag for tag in declaration.tags if tag.name == name]
        for host in (declaration.name, *declaration.groups):
            own += self._tags.get((host, name), ())
        return own

    def _add(self, extension: Extension) -> None:
        self._names.append(extension.name)
        self._implied[extension.name] = extension.implies
        self.commands.update((command.name, command) for command in extension.commands)
        self.tests.update((test.name, test) for test in extension.tests)
        for host, tags in extension.tags.items():
            for tag in tags:
                self._tags.setdefault((host, tag.name), []).append(tag)
        for match in extension.matches:
            self.matches[match.name] = match
            needed = (extension.name,) if extension.name else ()
            self._tags.setdefault((MATCH, match.name), []).append(Tag(match.name, match.kind, MATCH, "", needed))
        for part, values in extension.envelope_parts.items():
            self.envelope_parts[part] = (extension.name, values)


LANGUAGE = Language(EXTENSIONS)
