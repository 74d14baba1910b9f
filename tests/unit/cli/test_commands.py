"""Each command is found in the module that is said to have it, alone and among all."""

from __future__ import annotations

import pytest
import typer.main
from typer.core import TyperGroup

from services.cli.__main__ import COMMANDS, make_app


def names(command: str = "") -> set[str]:
    group = typer.main.get_command(make_app(command))
    assert isinstance(group, TyperGroup)
    return set(group.commands)


def test_all_commands_are_known() -> None:
    assert names() == {command for commands in COMMANDS.values() for command in commands}


@pytest.mark.parametrize("command", [command for commands in COMMANDS.values() for command in commands])
def test_a_command_brings_its_module_only(command: str) -> None:
    [module] = [commands for commands in COMMANDS.values() if command in commands]
    assert names(command) == set(module)


def test_an_unknown_command_brings_all() -> None:
    assert names("frobnicate") == names()
