"""The stack that the tests of a module share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.tools.stack import Stack

pytest.register_assert_rewrite("tests.e2e.running", "tests.e2e.sessions")
from tests.e2e.running import running  # noqa: E402


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack with the demo accounts."""
    with running(tmp_path_factory.mktemp("stack") / "data") as started:
        yield started
