"""The alert rules and the dashboard: tested by promtool, and about metrics that exist."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "deploy" / "monitoring"
OPERATIONS = Path(__file__).resolve().parents[3] / "docs" / "operations.md"
SUFFIX = re.compile(r"_(?:bucket|sum|count)\Z")


def test_the_rules_do_what_they_say() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        if os.environ.get("PACKETBOAT_REQUIRE_ALL") == "1":
            pytest.fail("promtool (apt-get install prometheus): required here, and missing")
        pytest.skip("needs promtool (apt-get install prometheus)")
    done = subprocess.run([promtool, "test", "rules", "alerts_test.yml"], cwd=FOLDER, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    assert b"SUCCESS" in done.stdout


@pytest.mark.parametrize("name", ["alerts.yml", "dashboard.json"])
def test_every_metric_that_is_asked_for_is_documented(name: str) -> None:
    asked = {SUFFIX.sub("", one) for one in re.findall(r"\bpacketboat_\w+", (FOLDER / name).read_text())}
    assert asked
    said = OPERATIONS.read_text(encoding="utf-8")
    assert not {one for one in asked if f"`{one}`" not in said}


def test_every_alert_is_tested() -> None:
    names = set(re.findall(r"alert: (\w+)", (FOLDER / "alerts.yml").read_text()))
    tested = (FOLDER / "alerts_test.yml").read_text()
    assert len(names) == 11
    assert all(re.search(rf"alertname: {name}\n\s+exp_alerts", tested) for name in names)


def test_the_dashboard_is_whole() -> None:
    dashboard = json.loads((FOLDER / "dashboard.json").read_text())
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"]) > 10
    assert all(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
