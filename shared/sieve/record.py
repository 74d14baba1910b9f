"""A run's result as plain values for JSON: what drives the interpreter from another program reads this."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from shared.sieve.describe import name_of
from shared.sieve.revision import Revision

if TYPE_CHECKING:
    from shared.sieve.actions import Action
    from shared.sieve.script import Result


def record_of(result: Result) -> dict[str, Any]:
    """Return actions in order, edits, error and trace; the changed message itself is `result.message.render()`."""
    error = result.error
    return {
        "actions": [record_of_action(action) for action in result.actions],
        "implicit_keep": result.implicit_keep,
        "changed": result.message.changed,
        "edits": [{"edit": type(edit).__name__.lower(), **_values(edit)} for edit in result.message.edits],
        "error": None if error is None else _values(error),
        "trace": [str(event) for event in result.trace],
    }


def record_of_action(action: Action) -> dict[str, Any]:
    """Return an action's name and what it says; of its message, whether the script had changed it by then."""
    return {"action": name_of(action), **_values(action)}


def _values(value: Any) -> dict[str, Any]:
    return {field.name.rstrip("_"): _plain(getattr(value, field.name)) for field in fields(value)}


def _plain(value: Any) -> Any:
    if isinstance(value, Revision):
        return "changed" if value.changed else "original"
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return _values(value) if is_dataclass(value) else value
