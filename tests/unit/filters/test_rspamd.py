"""rspamd's answers, all of its actions, and what is asked of it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from shared.filters.configuration import RspamdConfig
from shared.filters.failure import ScanFailed
from shared.filters.parcel import Parcel
from shared.filters.rspamd import Rspamd
from shared.message.verdict import Action, Change, HeaderChange, Verdict

PARCEL = Parcel(
    "ID", "a@x.test", ("b@y.test", "c@y.test"), b"Subject: x\r\n\r\nbody\r\n",
    ip="192.0.2.1", helo="mx\r\nInjected: 1", account="me@y.test",
)  # fmt: skip


async def ask(answer: Any, status: int = 200, **config: Any) -> tuple[Verdict, httpx.Request]:
    seen: list[httpx.Request] = []

    async def handle(request: httpx.Request) -> httpx.Response:
        await request.aread()
        seen.append(request)
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        return httpx.Response(status, content=content)

    client = Rspamd(RspamdConfig(name="r", **config), "mx.y.test", httpx.MockTransport(handle))
    try:
        return await client.scan(PARCEL), seen[0]
    finally:
        await client.close()


@pytest.mark.parametrize(
    ("said", "action"),
    [
        ("no action", Action.NONE), ("add header", Action.TAG), ("rewrite subject", Action.SUBJECT),
        ("greylist", Action.GREYLIST), ("soft reject", Action.TEMPFAIL), ("reject", Action.REJECT),
        ("quarantine", Action.QUARANTINE), ("discard", Action.DISCARD),
    ],
)  # fmt: skip
async def test_all_actions(said: str, action: Action) -> None:
    verdict, _ = await ask({"action": said, "score": 3.5, "required_score": 15, "subject": "[SPAM] x"})
    assert (verdict.action, verdict.score, verdict.threshold) == (action, 3.5, 6.0)
    assert verdict.subject == ("[SPAM] x" if action is Action.SUBJECT else "")


async def test_what_is_asked() -> None:
    _, request = await ask({"action": "no action"}, password="secret")
    assert request.url.path == "/checkv2" and request.content == PARCEL.head
    headers = request.headers
    assert (headers["from"], headers["ip"], headers["user"], headers["password"]) == (
        "a@x.test", "192.0.2.1", "me@y.test", "secret",
    )  # fmt: skip
    assert headers.get_list("rcpt") == ["b@y.test", "c@y.test"]
    assert headers["helo"] == "mx Injected: 1" and headers["content-length"] == str(len(PARCEL.head))


async def test_symbols_message_and_header_changes() -> None:
    verdict, _ = await ask({
        "action": "reject", "score": 20, "messages": {"smtp_message": "Gtube pattern"},
        "symbols": {"A": {"score": -1}, "B": {"score": 5.5}, "C": "nonsense"},
        "milter": {
            "remove_headers": {"X-Old": 0},
            "add_headers": {"X-One": "1", "X-Two": {"value": "2", "order": 1}, "X-Many": ["a", {"value": "b"}]},
        },
    })  # fmt: skip
    assert verdict.symbols == ("B(5.50)", "A(-1.00)") and verdict.reason == "Gtube pattern"
    assert verdict.changes == (
        HeaderChange(Change.REMOVE, "X-Old"),
        HeaderChange(Change.ADD, "X-One", b"1"),
        HeaderChange(Change.INSERT, "X-Two", b"2", 1),
        HeaderChange(Change.ADD, "X-Many", b"a"),
        HeaderChange(Change.ADD, "X-Many", b"b"),
    )


@pytest.mark.parametrize("judgement", ["quarantine", "tag", "discard"])
async def test_reject_may_mean_something_else(judgement: str) -> None:
    verdict, _ = await ask({"action": "reject"}, reject=judgement)
    assert verdict.action == judgement


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"", 200), (b"[]", 200), ({"action": "explode"}, 200), ({"error": "no"}, 500), ({"action": "reject"}, 403),
        (b"x" * 2_000_000, 200),
    ],
)  # fmt: skip
async def test_answers_that_make_no_sense(answer: Any, status: int) -> None:
    with pytest.raises(ScanFailed):
        await ask(answer, status)
