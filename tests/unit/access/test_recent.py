r"""Claiming what is \Recent: not without news, not for those who change nothing, and never instead of an answer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from services.access.imap.recent import claim
from shared.errors import TemporaryFailure
from shared.imap.state import Extension


class Session:
    """A session whose database gives, or fails, and says what it was asked."""

    def __init__(self, *, fails: bool = False, enabled: Extension = Extension.NONE) -> None:
        self.fails = fails
        self.enabled = enabled
        self.claimed: list[int] = []
        self.troubles: list[str] = []
        self.desk = SimpleNamespace(messages=self, log=self)

    async def claim(self, _mailbox_id: int, last: int) -> tuple[tuple[int, int], ...]:
        self.claimed.append(last)
        if self.fails:
            raise TemporaryFailure("The disk is full")
        return ((last, last),)

    def trouble(self, what: str, **_: Any) -> None:
        self.troubles.append(what)


def _selected(*, read_only: bool = False) -> Any:
    return SimpleNamespace(mailbox_id=7, read_only=read_only)


@pytest.mark.parametrize(
    ("session", "selected", "claimed", "expected", "asked"),
    [
        (Session(), _selected(), 5, (), []),
        (Session(), _selected(), 3, ((5, 5),), [5]),
        (Session(), _selected(read_only=True), 3, ((4, 5),), []),
        (Session(enabled=Extension.REV2), _selected(), 3, (), []),
        (Session(fails=True), _selected(), 3, (), [5]),
    ],
    ids=["no news", "news", "read-only", "rev2", "no database"],
)
async def test_claim(session: Any, selected: Any, claimed: int, expected: Any, asked: list[int]) -> None:
    assert await claim(session, selected, claimed, 5) == expected
    assert session.claimed == asked
    assert len(session.troubles) == session.fails
