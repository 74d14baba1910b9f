"""Where `up` and the commands have their settings from: options, the environment, the file, defaults."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from services.cli.context import NOTED, note_start, settings_for, settings_of_up, settings_with_ports


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that says nothing, and is as it was afterwards."""
    for name in ("DATA", "CONFIG", *map(str.upper, NOTED)):
        monkeypatch.setenv(f"PACKETBOAT_{name}", "")  # so that what a test sets is taken back
        monkeypatch.delenv(f"PACKETBOAT_{name}")


def test_without_a_word_there_are_the_defaults_of_up(tmp_path: Path) -> None:
    settings = settings_of_up(tmp_path, {})
    assert (settings.port_base, settings.workers, settings.hostname) == (10000, 1, "mail.packetboat.test")
    assert os.environ["PACKETBOAT_PORT_BASE"] == "10000"


def test_options_win_over_the_environment_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "packetboat.toml").write_text(
        'hostname = "file.test"\nport_base = 100\nworkers = 2\nresolver = "127.0.0.1:1"\n'
    )
    monkeypatch.setenv("PACKETBOAT_WORKERS", "3")
    monkeypatch.setenv("PACKETBOAT_RESOLVER", "127.0.0.1:2")
    settings = settings_of_up(tmp_path, {"resolver": "127.0.0.1:3"})
    assert (settings.hostname, settings.port_base) == ("file.test", 100)
    assert (settings.workers, settings.resolver) == (3, "127.0.0.1:3")
    assert os.environ["PACKETBOAT_RESOLVER"] == "127.0.0.1:3"  # for the services
    assert "PACKETBOAT_HOSTNAME" not in os.environ  # they read the file themselves


def test_commands_see_what_up_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACKETBOAT_HOSTNAME", "mx.a.test")
    settings_of_up(tmp_path, {"port_base": "20000", "listen": '["127.0.0.2"]'})
    note_start(tmp_path)
    noted = json.loads((tmp_path / "run" / "stack.json").read_text())
    for name in noted:
        monkeypatch.delenv(name)
    settings = settings_for(tmp_path)
    assert (settings.port_base, settings.listen, settings.hostname) == (20000, ["127.0.0.2"], "mx.a.test")
    assert settings_with_ports(tmp_path, 7).port_base == 7


def test_commands_find_the_file_of_their_data_folder(tmp_path: Path) -> None:
    (tmp_path / "packetboat.toml").write_text('port_base = 100\nhostname = "file.test"\n')
    assert settings_for(tmp_path).hostname == "file.test"
    assert settings_with_ports(tmp_path, None).port_base == 100
