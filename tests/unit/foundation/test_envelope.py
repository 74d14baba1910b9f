"""The journal's form of the envelope."""

from __future__ import annotations

import orjson

from shared.message.envelope import Envelope, Kind, Lane, Origin, Recipient

ENVELOPE = Envelope(
    id="01M838KAVC17GMAK92WPC9HQWC",
    sender="",
    recipients=(Recipient("a@b.test", Lane.DELIVERY, "rfc822;A@b.test", "NEVER"), Recipient("c@d.test", Lane.RELAY)),
    received_at=1,
    kind=Kind.BOUNCE,
    parent="01M838KAVC17GMAK92WPC9HQWD",
    origin=Origin("mx", "192.0.2.1", "helo", "ESMTPS"),
)


def test_it_comes_back_as_it_was() -> None:
    assert Envelope.from_json(ENVELOPE.to_json()) == ENVELOPE


def test_a_newer_writers_fields_are_ignored() -> None:
    raw = orjson.loads(ENVELOPE.to_json())
    raw["novelty"] = 1
    raw["recipients"][0]["novelty"] = 2
    raw["origin"]["novelty"] = 3
    assert Envelope.from_json(orjson.dumps(raw)) == ENVELOPE


def test_lanes() -> None:
    assert ENVELOPE.lanes == (Lane.DELIVERY, Lane.RELAY)
    assert [r.address for r in ENVELOPE.lane(Lane.RELAY)] == ["c@d.test"]
