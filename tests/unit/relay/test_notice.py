"""Notifications as they are journaled; a whole bounce is a golden file (PACKETBOAT_GOLDEN=write makes it anew)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from shared.ids import encode
from shared.journal.reference import Reference
from shared.message.dsn import DsnKind
from shared.message.envelope import Envelope, Kind, Lane, Recipient
from shared.operations.notice import Notice, Notifier, wants
from shared.smtp.reply import Reply

GOLDEN = Path(__file__).parent / "golden"
ORIGINAL = b"From: Alice <alice@a.test>\r\nTo: nobody@b.test\r\nSubject: Tea?\r\n\r\nAt four.\r\n"
REF = Reference("2026-11-23/mta-01KAR0000000000000000000000-1", 0, 200, 100, len(ORIGINAL), len(ORIGINAL))
ENTRY = encode(1_795_400_000_000 << 80 | 7)
AT = 1_795_400_060.0


class FakeReader:
    def pread(self, _ref: Reference, start: int, length: int) -> bytes:
        return ORIGINAL[start : start + length]


class FakeWriter:
    def __init__(self) -> None:
        self.appended: list[tuple[Envelope, bytes]] = []

    async def append(self, envelope: Envelope, body: bytes) -> Reference:
        self.appended.append((envelope, body))
        return REF


async def journal(kind: DsnKind, reply: Reply, host: str, **values: Any) -> tuple[Envelope, bytes]:
    recipient = Recipient("nobody@b.test", Lane.RELAY, orcpt="rfc822;list+40a.test")
    envelope = Envelope(ENTRY, "alice@a.test", (recipient,), 1_795_400_000_000_000, **values)
    retry_until = AT + 86400 if kind is DsnKind.DELAYED else None
    notice = Notice(kind, envelope, REF, recipient, reply, host, reply.status, AT, retry_until)
    writer = FakeWriter()

    async def is_local(domain: str) -> bool:
        return domain == "a.test"

    item = await Notifier("relay", writer, FakeReader(), "relay.a.test", is_local).journal(notice)  # type: ignore[arg-type]
    ((child, body),) = writer.appended
    assert (item.entry, item.lane) == (child.id, Lane.DELIVERY)
    return child, body


@pytest.mark.parametrize(
    ("name", "kind", "reply", "host", "values"),
    [
        ("bounce", DsnKind.FAILED, Reply(550, ("5.1.1 no", "5.1.1 such user")), "mx.b.test", {"envid": "x+2By"}),
        ("bounce-full", DsnKind.FAILED, Reply(556, ("5.1.10 null MX",)), "", {"ret": "FULL"}),
        ("delay", DsnKind.DELAYED, Reply(451, ("4.2.1 later",)), "mx.b.test", {}),
        ("relayed", DsnKind.RELAYED, Reply(250, ("2.0.0 ok",)), "mx.b.test", {}),
    ],
)
async def test_golden(name: str, kind: DsnKind, reply: Reply, host: str, values: dict[str, Any]) -> None:
    child, body = await journal(kind, reply, host, **values)
    assert (child.sender, child.kind, child.parent, child.hops) == ("", Kind.BOUNCE, ENTRY, 1)
    path = GOLDEN / f"{name}.eml"
    if os.environ.get("PACKETBOAT_GOLDEN") == "write":
        path.write_bytes(body)
    assert body == path.read_bytes()


async def test_kinds_are_children_of_their_own() -> None:
    reply = Reply(451, ("4.2.1 later",))
    children = [await journal(kind, reply, "mx") for kind in (DsnKind.FAILED, DsnKind.DELAYED, DsnKind.FAILED)]
    ids = [child.id for child, _ in children]
    assert ids[0] == ids[2] != ids[1]


@pytest.mark.parametrize(
    ("notify", "told"),
    [
        ("", {DsnKind.FAILED, DsnKind.DELAYED}),
        ("NEVER", set()),
        ("SUCCESS", {DsnKind.RELAYED}),
        ("FAILURE,DELAY", {DsnKind.FAILED, DsnKind.DELAYED}),
    ],
)
def test_who_is_told(notify: str, told: set[DsnKind]) -> None:
    recipient = Recipient("b@b.test", Lane.RELAY, notify=notify)
    kinds = (DsnKind.FAILED, DsnKind.DELAYED, DsnKind.RELAYED)
    for sender in ("a@a.test", ""):
        envelope = Envelope(ENTRY, sender, (recipient,), 0)
        assert {kind for kind in kinds if wants(kind, envelope, recipient)} == (told if sender else set())
