"""The fileinto extension (RFC 5228 §4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.sieve.actions import FileInto
from shared.sieve.declare import STRING, Declaration, Extension
from shared.sieve.errors import Fault, RunError

if TYPE_CHECKING:
    from shared.sieve.compiler import Call, Compiler
    from shared.sieve.declare import Operation
    from shared.sieve.run import Run
    from shared.sieve.template import Text

MAX_MAILBOX_NAME = 1000
"""Characters of a mailbox's name."""


def _fileinto(call: Call, compiler: Compiler) -> Operation:
    name, modifiers = call.text(0), call.modifiers(compiler)
    check_mailbox(name)

    def fileinto(run: Run) -> None:
        action = FileInto(mailbox_of(name, run), run.view.revision, run.flags or None)
        for modify in modifiers:
            action = modify(run, action)
        run.decide(action)

    return fileinto


def check_mailbox(name: Text | None) -> None:
    """Fault for a constant that can't be a mailbox's name."""
    if name is not None and name.constant is not None:
        problem = _problem(name.constant)
        if problem:
            raise Fault(problem, name.node.line, name.node.column)


def mailbox_of(name: Text, run: Run) -> str:
    """A mailbox's name; RunError when it can't be one."""
    value = name(run)
    problem = _problem(value)
    if problem:
        raise RunError(problem)
    return value


def _problem(name: str) -> str:
    if not name:
        return "a mailbox's name can't be empty"
    if len(name) > MAX_MAILBOX_NAME:
        return f"a mailbox's name has at most {MAX_MAILBOX_NAME} characters"
    if any(character < " " or character == "\x7f" for character in name):
        return "a mailbox's name can't have control characters"
    return ""


EXTENSION = Extension("fileinto", commands=(Declaration("fileinto", _fileinto, (STRING,), extensions=("fileinto",)),))
