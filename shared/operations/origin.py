"""Where a message came from, as the ledger keeps it so that its story survives the message."""

from __future__ import annotations

import orjson

from shared.message.envelope import Envelope, Origin

MAX_HELO = 255  # characters


def origin_view(origin: Origin) -> dict[str, str]:
    """Return what is known of an origin, without what is empty."""
    fields = {
        "service": origin.service,
        "ip": origin.ip,
        "helo": origin.helo[:MAX_HELO],
        "protocol": origin.protocol,
        "tls": origin.tls,
        "account": origin.account,
    }
    return {name: value for name, value in fields.items() if value}


def origin_json(envelope: Envelope) -> str:
    """Return it for a ledger row's detail, with the parent of a message that was made here."""
    view = origin_view(envelope.origin)
    if envelope.parent:
        view["parent"] = envelope.parent
    try:
        return orjson.dumps(view).decode()
    except TypeError:  # a HELO that isn't UTF-8
        return orjson.dumps({key: value.encode("utf-8", "replace").decode() for key, value in view.items()}).decode()
