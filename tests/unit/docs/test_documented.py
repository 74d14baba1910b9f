"""The documents are true: every setting and every metric is in them."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

import services
import shared
from shared.config import CommonSettings
from tests.tools.settings_doc import PAGE, SERVICES, page, settings_class

DOCS = Path(__file__).resolve().parents[3] / "docs"


def test_the_configuration_page_is_what_the_settings_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python -m tests.tools.settings_doc`"


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_has_a_description_and_its_services_prefix(service: str) -> None:
    for name, field in settings_class(service).model_fields.items():
        assert field.description, name
        assert name in CommonSettings.model_fields or name.startswith(f"{service}_"), name


def test_every_metric_is_in_the_operations_page() -> None:
    for package in (shared, services):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    said = (DOCS / "operations.md").read_text(encoding="utf-8")
    ours = {metric.name for metric in REGISTRY.collect() if metric.name.startswith("packetboat_")}
    assert ours
    missing = {name for name in ours if not re.search(rf"\b{name}(_total)?\b", said)}
    assert not missing
