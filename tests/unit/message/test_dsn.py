"""Delivery status notifications, as golden files. Run this file itself to write them anew, then read the diff."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.message import dsn
from shared.message.dsn import DsnKind, DsnRecipient, DsnReport, build_dsn
from shared.message.lineends import find_bare
from shared.message.structure import parse_structure

GOLDEN = Path(__file__).parent / "golden"
NOW = datetime(2026, 11, 23, 3, 52, tzinfo=UTC)
ORIGINAL = (
    b"Received: from client by mx.a.test; Mon, 23 Nov 2026 03:50:00 +0000\r\nFrom: Alice <alice@a.test>\r\n"
    b"To: nobody@b.test\r\nSubject: Lunch\r\nMessage-ID: <1@a.test>\r\n\r\nAre you coming?\r\n"
)
GONE = DsnRecipient(
    "nobody@b.test",
    "5.1.1",
    orcpt="rfc822;nobody+40b.test",
    remote_mta="mx.b.test",
    diagnostic="550 5.1.1 <nobody@b.test>: Recipient address rejected: User unknown in virtual mailbox table",
    last_attempt=NOW,
)
LATE = DsnRecipient(
    "carol@c.test",
    "4.4.1",
    diagnostic="connection to mx.c.test timed out",
    diagnostic_is_smtp=False,
    last_attempt=NOW,
    will_retry_until=NOW + timedelta(days=5),
)
FAILED = DsnReport(
    kind=DsnKind.FAILED,
    sender="alice@a.test",
    recipients=(GONE,),
    reporting_mta="mx.a.test",
    date=NOW,
    arrival=NOW - timedelta(minutes=2),
    message_id="<dsn.1@mx.a.test>",
    boundary="=_01JDABCDEFGHJKMNPQRSTVWXYZ",
    original=ORIGINAL,
    entry_id="01JDABCDEFGHJKMNPQRSTVWXYZ",
    envid="QQ314159+2Bx",
)
REPORTS = {
    "failed": FAILED,
    "failed_full": replace(FAILED, ret="FULL"),
    "failed_two": replace(
        FAILED,
        recipients=(
            replace(GONE, orcpt="rfc822;old-name+40a.test"),
            DsnRecipient("full@a.test", "5.2.2", diagnostic="mailbox is full", diagnostic_is_smtp=False),
        ),
        envid="",
    ),
    "delayed": replace(FAILED, kind=DsnKind.DELAYED, recipients=(LATE,), ret="FULL"),
    "delivered": replace(
        FAILED, kind=DsnKind.DELIVERED, recipients=(DsnRecipient("bob@a.test", "2.0.0", orcpt="rfc822;bob+40a.test"),)
    ),
    "relayed": replace(
        FAILED,
        kind=DsnKind.RELAYED,
        recipients=(DsnRecipient("x@b.test", "2.0.0", remote_mta="mx.b.test", diagnostic="250 ok"),),
    ),
    "expanded": replace(FAILED, kind=DsnKind.EXPANDED, recipients=(DsnRecipient("list@a.test", "2.0.0"),)),
    "failed_utf8": replace(
        FAILED,
        sender="älice@a.test",
        recipients=(replace(GONE, final="bücher@b.test", orcpt="utf-8;bücher@b.test"),),
        original="From: älice@a.test\r\nSubject: Grüße\r\n\r\nx\r\n".encode(),
        smtputf8=True,
    ),
    "failed_downgraded": replace(FAILED, recipients=(replace(GONE, final="bücher@b.test"),)),
}


@pytest.mark.parametrize("name", REPORTS)
def test_golden(name):
    assert build_dsn(REPORTS[name]) == (GOLDEN / f"dsn_{name}.eml").read_bytes()


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS.keys())
def test_every_notification_is_well_formed(report):
    data = build_dsn(report)
    assert find_bare(data) is None
    message = email.message_from_bytes(data, policy=email.policy.default)
    assert not message.defects
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["Content-Transfer-Encoding"] == (None if data.isascii() else "8bit")
    types = [(p.media.type + b"/" + p.media.subtype).decode() for p in parse_structure(data).children]
    assert types[0] == "text/plain"
    assert types[1] in ("message/delivery-status", "message/global-delivery-status")
    assert len(types) == 3


def test_the_original_comes_back_whole_only_if_wanted_and_small(monkeypatch):
    body = b"Are you coming?"
    assert body not in build_dsn(FAILED)
    assert body in build_dsn(replace(FAILED, ret="FULL"))
    assert body not in build_dsn(replace(FAILED, ret="FULL", kind=DsnKind.DELIVERED))
    monkeypatch.setattr(dsn, "MAX_RETURNED_BYTES", 10)
    assert body not in build_dsn(replace(FAILED, ret="FULL"))


def test_a_large_header_is_cut_at_a_line(monkeypatch):
    monkeypatch.setattr(dsn, "MAX_RETURNED_HEADER_BYTES", 100)
    part = build_dsn(FAILED).rpartition(b"text/rfc822-headers\r\n")[2]
    assert b"Received: from client" in part
    assert b"Subject" not in part


def test_no_notification_about_the_null_sender():
    with pytest.raises(ValueError, match="null reverse-path"):
        build_dsn(replace(FAILED, sender=""))


@given(st.text(min_size=1), st.text(), st.text(), st.booleans())
def test_no_text_from_elsewhere_breaks_it(sender, orcpt, reply, smtputf8):
    recipient = DsnRecipient(sender, reply or "5.0.0", orcpt=orcpt, remote_mta=reply, diagnostic=reply)
    data = build_dsn(
        replace(FAILED, sender=sender, recipients=(recipient,), envid=orcpt, entry_id=reply, smtputf8=smtputf8)
    )
    assert find_bare(data) is None
    assert max(map(len, data.split(b"\r\n"))) <= 2100
    root = parse_structure(data)
    assert len(root.children) == 3
    status = root.children[1]
    if not smtputf8:
        assert data[status.body_start : status.body_end].isascii()
    groups = data[status.body_start : status.body_end].strip().split(b"\r\n\r\n")
    assert len(groups) == 2


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for name, report in REPORTS.items():
        (GOLDEN / f"dsn_{name}.eml").write_bytes(build_dsn(report))
