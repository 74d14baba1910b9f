"""The state of one run: what it may still use, its variables, what it has decided so far."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from shared.sieve.actions import (
    Discard,
    EReject,
    FileInto,
    Keep,
    Notify,
    Redirect,
    Reject,
    TrackDuplicate,
    Vacation,
)
from shared.sieve.describe import describe, name_of
from shared.sieve.errors import RunError
from shared.sieve.limits import MAX_SHOWN_VALUE, MAX_SHOWN_VALUES
from shared.sieve.message import View
from shared.sieve.trace import TraceEvent, TraceKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.message.structure import Part
    from shared.sieve.actions import Action
    from shared.sieve.context import Context
    from shared.sieve.revision import Revision


class Stop(Exception):
    """The whole run ends (RFC 5228 §3.3)."""


class Return(Exception):
    """This script ends and the one that included it goes on (RFC 6609 §3.3)."""


class Break(Exception):
    """A foreverypart ends: the innermost for "", or the one with this name (RFC 5703 §3.2)."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Scope:
    """One script's variables: its own, those it shares with others by name, and the match variables."""

    __slots__ = ("globals", "matches", "shared", "values")

    def __init__(self, global_values: dict[str, str]) -> None:
        self.values: dict[str, str] = {}
        self.shared: set[str] = set()
        self.globals = global_values
        self.matches: Sequence[str] = ()

    def get(self, name: str) -> str:
        """A variable's value by its lower-case name; "" when it was never set (RFC 5229 §3)."""
        return (self.globals if name in self.shared else self.values).get(name, "")

    def set(self, name: str, value: str) -> None:
        """Give a variable a value."""
        (self.globals if name in self.shared else self.values)[name] = value

    def matched(self, number: int) -> str:
        """A match variable; "" when the last match had none such."""
        return self.matches[number] if number < len(self.matches) else ""


class Run:
    """One run of a script on one message."""

    __slots__ = (
        "actions",
        "answered",
        "by",
        "compared",
        "context",
        "depth",
        "edits",
        "flags",
        "globals",
        "implicit_keep",
        "included",
        "includes",
        "limits",
        "loop",
        "now",
        "redirects",
        "scope",
        "scripts",
        "steps",
        "trace",
        "unenclosed",
        "view",
        "work",
    )

    def __init__(self, context: Context, *, traced: bool = False) -> None:
        self.context = context
        self.limits = context.limits
        self.now = context.now
        self.view = View(context.message)
        self.steps = context.limits.steps
        self.work = context.limits.work
        self.actions: list[Action] = []
        self.by: list[str] = []  # which script decided on each action
        self.implicit_keep = True
        self.globals: dict[str, str] = {}
        self.scope = Scope(self.globals)
        self.flags: tuple[str, ...] = ()  # imap4flags' internal variable
        self.answered = False  # whether vacation was executed, though it may have sent nothing
        self.edits = 0
        self.redirects = 0
        self.includes = 0
        self.included: set[tuple[str, str]] = set()
        self.scripts: list[str] = [""]  # the names of those that include one another
        self.loop: list[Part] = []  # the parts that foreverypart is at, outermost first
        self.unenclosed: Revision | None = None
        self.trace: list[TraceEvent] | None = [] if traced else None
        self.compared: list[str] = []  # what the present test saw, for the trace
        self.depth = 0

    def charge(self, characters: int) -> None:
        """Count characters that are compared, decoded or copied."""
        self.work -= characters
        if self.work < 0:
            raise RunError(f"more than {self.limits.work} characters were compared or copied")

    def count_step(self) -> None:
        """Count a step of a loop."""
        self.steps -= 1
        if self.steps < 0:
            raise self.out_of_steps()

    def out_of_steps(self) -> RunError:
        """The error of a run that takes too long."""
        return RunError(f"more than {self.limits.steps} commands and tests were executed")

    def revise(self, revision: Revision) -> None:
        """Go on with a changed message."""
        self.count_edit()
        if revision.data is not self.view.data:
            self.charge(len(revision.data))
        self.view.revise(revision)

    def count_edit(self) -> None:
        """Count a change; RunError when there are too many."""
        self.edits += 1
        if self.edits > self.limits.edits:
            raise RunError(f"a script may change a message {self.limits.edits} times")

    def set_matches(self, values: Sequence[str]) -> None:
        """Set the match variables (RFC 5229 §3.2)."""
        self.scope.matches = values

    def decide(self, action: Action) -> None:
        """Take an action on: the same thing twice is done once (RFC 5228 §2.10.3), what conflicts is an error."""
        if self.trace is not None:
            self.note(TraceKind.ACTION, describe(action))
        match action:
            case Keep() | FileInto():
                self._conflict((Reject, EReject), action)
                if not (isinstance(action, FileInto) and action.copy):
                    self.implicit_keep = False
                self._store(action)
                return
            case Redirect():
                self._conflict((Reject, EReject), action)
                if not action.copy:
                    self.implicit_keep = False
                self._redirect(action)
                return
            case Discard():
                self.implicit_keep = False
                if any(isinstance(earlier, Discard) for earlier in self.actions):
                    return
            case Reject() | EReject():
                if self.answered:
                    raise RunError(f"{name_of(action)} can't be done together with vacation")
                self._conflict((Reject, EReject, Keep, FileInto, Redirect, Vacation), action)
                self.implicit_keep = False
            case Vacation():
                self._conflict((Reject, EReject, Vacation), action)
            case Notify():
                self._count_notifications()
            case TrackDuplicate():
                if action in self.actions:
                    return
        self._append(action)

    def answer(self) -> None:
        """Note that vacation is executed: RunError the second time, and after reject (RFC 5230 §4.7)."""
        for earlier in self.actions:
            if isinstance(earlier, (Reject, EReject)):
                raise RunError(f"vacation can't be done together with {name_of(earlier)}")
        if self.answered:
            raise RunError("vacation can't be done twice")
        self.answered = True

    def note(self, kind: TraceKind, text: str, outcome: bool | None = None, why: str = "") -> None:
        """Tell the trace of something that has no place of its own in the script."""
        if self.trace is not None:
            self.trace.append(TraceEvent(kind, 0, 0, text, outcome, why, self.depth, self.scripts[-1]))

    def note_value(self, name: str, value: str) -> None:
        """Tell the trace of a variable's new value."""
        self.note(TraceKind.NOTE, f"{name} is now {value[:MAX_SHOWN_VALUE]!r}")

    def saw(self, values: Sequence[str]) -> None:
        """Tell the trace which values a test compared."""
        shown = [repr(value[:MAX_SHOWN_VALUE]) for value in values[:MAX_SHOWN_VALUES]]
        if len(values) > MAX_SHOWN_VALUES:
            shown.append(f"and {len(values) - MAX_SHOWN_VALUES} more")
        self.compared.append("saw " + ", ".join(shown) if shown else "saw nothing")

    def because(self, why: str) -> None:
        """Tell the trace why a test came out so."""
        if self.trace is not None:
            self.compared.append(why)

    def _append(self, action: Action) -> None:
        if len(self.actions) >= self.limits.actions:
            raise RunError(f"a script may take {self.limits.actions} actions")
        self.actions.append(action)
        self.by.append(self.scripts[0])

    def _store(self, action: Keep | FileInto) -> None:
        """The flags of the last one count (RFC 5232 §5)."""
        place = _place(action)
        for index, earlier in enumerate(self.actions):
            if isinstance(earlier, (Keep, FileInto)) and _place(earlier) == place:
                self.actions[index] = _merged(earlier, action)
                self.by[index] = self.scripts[0]
                return
        self._append(action)

    def _redirect(self, action: Redirect) -> None:
        for earlier in self.actions:
            if isinstance(earlier, Redirect) and earlier.address.lower() == action.address.lower():
                return
        self.redirects += 1
        if self.redirects > self.limits.redirects:
            raise RunError(f"a script may redirect a message {self.limits.redirects} times")
        self._append(action)

    def _count_notifications(self) -> None:
        count = sum(isinstance(earlier, Notify) for earlier in self.actions)
        if count >= self.limits.notifications:
            raise RunError(f"a script may send {self.limits.notifications} notifications")

    def _conflict(self, others: tuple[type, ...], action: Action) -> None:
        for earlier in self.actions:
            if isinstance(earlier, others):
                raise RunError(f"{name_of(action)} can't be done together with {name_of(earlier)}")


def _place(action: Keep | FileInto) -> tuple[str, str, str]:
    if isinstance(action, Keep) or action.mailbox.upper() == "INBOX":
        return ("INBOX", "", "")
    return (action.mailbox, action.special_use, action.mailbox_id)


def _merged(earlier: Keep | FileInto, later: Keep | FileInto) -> Action:
    flags = earlier.flags if later.flags is None else later.flags
    return replace(earlier, flags=flags)
