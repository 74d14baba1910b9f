"""`packetboat sieve put|get|list|…` and `packetboat filters replay` on a stack that doesn't run."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli.__main__ import make_app
from shared.db import connect
from shared.directory import admin
from shared.errors import ConfigurationError

RUNNER = CliRunner()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    async def fill() -> None:
        database = await connect(f"sqlite:///{tmp_path}/packetboat.db", migrate=True)
        await database.write(admin.add_domain, "a.test", time.time_ns() // 1000)
        await database.write(admin.add_account, "me@a.test", "x", time.time_ns() // 1000)
        await database.close()

    asyncio.run(fill())
    return tmp_path


def run(data: Path, *arguments: str, status: int = 0) -> str:
    result = RUNNER.invoke(make_app(arguments[0]), [*arguments, "--data", str(data)])
    if isinstance(result.exception, ConfigurationError):
        raise result.exception
    assert result.exit_code == status, result.output
    return result.output


def script(tmp_path: Path, text: str, name: str = "s.sieve") -> str:
    path = tmp_path / name
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    "whose", [("--account", "me@a.test"), ("--domain", "a.test", "--place", "after"), ("--system", "before")]
)
def test_from_put_to_delete(data: Path, tmp_path: Path, whose: tuple[str, ...]) -> None:
    assert run(data, "sieve", "list", *whose) == "none\n"
    assert run(data, "sieve", "put", "one", script(tmp_path, "keep;\n"), *whose) == "put one\n"
    run(data, "sieve", "put", "two", script(tmp_path, "stop;\n"), "--activate", *whose)
    assert run(data, "sieve", "get", "two", *whose) == "stop;\n"
    lines = run(data, "sieve", "status", *whose).splitlines()
    assert lines[1].split()[:2] == ["one", "6"] and lines[2].split()[:3] == ["two", "active", "6"]
    run(data, "sieve", "activate", "one", *whose)
    run(data, "sieve", "rename", "one", "first", *whose)
    with pytest.raises(ConfigurationError, match="deactivate it first"):
        run(data, "sieve", "delete", "first", *whose)
    run(data, "sieve", "deactivate", *whose)
    for name in ("first", "two"):
        run(data, "sieve", "delete", name, *whose)
    assert run(data, "sieve", "list", *whose) == "none\n"


def test_errors_are_told_with_file_and_place(data: Path, tmp_path: Path) -> None:
    path = script(tmp_path, "keep;\nfoo;\n")
    told = run(data, "sieve", "put", "bad", path, "--account", "me@a.test", status=1)
    assert f"{path}:2:1: " in told
    assert run(data, "sieve", "list", "--account", "me@a.test") == "none\n"


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--account", "me@a.test", "--domain", "a.test"),
        ("--account", "nobody@a.test"),
        ("--domain", "nowhere.test"),
        ("--system", "during"),
    ],
)
def test_whose_scripts_must_be_clear(data: Path, arguments: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError):
        run(data, "sieve", "list", *arguments)


def test_replay_of_nothing(data: Path, tmp_path: Path) -> None:
    path = script(tmp_path, "keep;")
    assert run(data, "filters", "replay", path).startswith("0 messages, 0 would change")
    with pytest.raises(ConfigurationError, match="12h, 7d or 4w"):
        run(data, "filters", "replay", path, "--since", "soon")
