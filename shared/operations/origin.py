"""Where a message came from, as the ledger keeps it so that its story survives the message."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from shared.message.envelope import Envelope, Origin
from shared.message.verdict import Verdict

MAX_HELO = 255  # characters
MAX_SCANNED = 500


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


def scanned_view(verdicts: Sequence[Verdict]) -> str:
    """Return what scanners said as people read it: `rspamd tag 7.20/6.00; clamav none`."""
    return "; ".join(_said(verdict) for verdict in verdicts)[:MAX_SCANNED]


def _said(verdict: Verdict) -> str:
    words = [verdict.scanner, "down" if verdict.failed else verdict.action.value]
    if verdict.score is not None:
        words.append(f"{verdict.score:.2f}/{verdict.threshold or 0:.2f}")
    return " ".join([*words, verdict.virus]).strip()


def origin_json(envelope: Envelope, scanned: Sequence[Verdict] = ()) -> str:
    """Return it for a ledger row's detail, with the parent of a message that was made here, and what scanners said."""
    view = origin_view(envelope.origin)
    if envelope.verdicts or scanned:
        view["scanned"] = scanned_view((*envelope.verdicts, *scanned))
    if envelope.parent:
        view["parent"] = envelope.parent
    try:
        return orjson.dumps(view).decode()
    except TypeError:  # a HELO that isn't UTF-8
        return orjson.dumps({key: value.encode("utf-8", "replace").decode() for key, value in view.items()}).decode()
