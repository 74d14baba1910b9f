"""Writes docs/configuration.md from the settings themselves: `python -m tests.tools.settings_doc`."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from pydantic_core import PydanticUndefined

from shared.config import CommonSettings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"
SERVICES = ("mta", "relay", "mda", "access", "admin")
HEAD = """# Configuration

Written by `python -m tests.tools.settings_doc` from the settings themselves; a test fails where they differ.

Every setting is an environment variable. The same names without `PACKETBOAT_` and in lower case may stand in
a TOML file: `packetboat.toml` in the data folder, or the one that `PACKETBOAT_CONFIG` names. The environment
wins over the file. Lists and objects are JSON in the environment: `PACKETBOAT_LISTEN='["0.0.0.0", "::"]'`.
A wrong value is one line on standard error and exit status 78.

`packetboat up` sets some of them from its options (`packetboat up --help`) and passes all others on to the
services. It starts only the services that `PACKETBOAT_UP_SERVICES` names (comma-separated) if that is set.
"""


def page() -> str:
    """Return the whole page."""
    parts = [HEAD, _section("All services", CommonSettings, set())]
    common = set(CommonSettings.model_fields)
    for service in SERVICES:
        parts.append(_section(f"{service}", settings_class(service), common))
    return "\n".join(parts)


def settings_class(service: str) -> type[CommonSettings]:
    """Return a service's settings class."""
    module = importlib.import_module(f"services.{service}.settings")
    found: type[CommonSettings] = getattr(module, f"{service.capitalize()}Settings")
    return found


def _section(title: str, cls: type[CommonSettings], known: set[str]) -> str:
    lines = [f"## {title}", "", "| setting | default | what it is |", "|---|---|---|"]
    for name, field in cls.model_fields.items():
        if name not in known:
            text = (field.description or "").replace("|", "\\|")
            lines.append(f"| `PACKETBOAT_{name.upper()}` | {_default(field.default)} | {text} |")
    return "\n".join(lines) + "\n"


def _default(value: Any) -> str:
    if value is PydanticUndefined or value is None or str(value) == "":
        return ""
    if hasattr(value, "get_secret_value"):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list | dict):
        return f"`{value}`".replace("'", '"')
    return f"`{getattr(value, 'value', value)}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.name}")
