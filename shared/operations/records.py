"""The DNS records that a domain should publish, and whether it does."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from shared.dns import Answer, Found, Resolver, Unknown

MAX_SHOWN = 20  # records of one answer
SERVICES = {
    "_submission": 587, "_submissions": 465, "_imap": 143, "_imaps": 993, "_pop3": 110, "_pop3s": 995, "_sieve": 4190,
}  # fmt: skip


class State(StrEnum):
    """What DNS says about a record."""

    OK = "ok"
    MISSING = "missing"
    DIFFERENT = "different"
    UNKNOWN = "unknown"  # nobody could say


@dataclass(frozen=True, slots=True)
class Record:
    """A record to publish; mail suffers without those that are `required`."""

    name: str
    kind: str
    value: str
    why: str
    required: bool = False

    def view(self) -> dict[str, Any]:
        """Return it as the API tells it."""
        return {"name": self.name, "type": self.kind, "value": self.value, "why": self.why, "required": self.required}


def records_of(domain: str, hostname: str) -> list[Record]:
    """Return what a domain whose mail is ours should publish."""
    host = f"{hostname.rstrip('.')}."
    why = "mail programs find the server (RFC 6186, 8314, 5804)"
    services = [Record(f"{name}._tcp.{domain}", "SRV", f"0 1 {port} {host}", why) for name, port in SERVICES.items()]
    return [
        Record(domain, "MX", f"10 {host}", "other servers find us", required=True),
        Record(domain, "TXT", "v=spf1 mx -all", "who may send in its name (RFC 7208)", required=True),
        Record(
            f"_dmarc.{domain}",
            "TXT",
            f"v=DMARC1; p=quarantine; rua=mailto:postmaster@{domain}",
            "what others do with forgeries (RFC 7489)",
        ),
        *services,
    ]


async def check_records(resolver: Resolver, domain: str, hostname: str) -> list[dict[str, Any]]:
    """Return the records with what DNS says of each, and whether our own name has an address."""
    wanted = records_of(domain, hostname)
    answers = await asyncio.gather(*(resolver.look_up(record.name, record.kind) for record in wanted))
    views = [_checked(record, answer) for record, answer in zip(wanted, answers, strict=True)]
    own = Record(hostname, "A", "its address", "the MX record's target must have one", required=True)
    addresses = await resolver.addresses(hostname)
    state = State.OK if isinstance(addresses, Found) else _absent(addresses)
    return [*views, {**own.view(), "state": state.value, "found": _texts(addresses)}]


def _checked(record: Record, answer: Answer) -> dict[str, Any]:
    found = _texts(answer)
    if not isinstance(answer, Found):
        state = _absent(answer)
    elif any(_agrees(record, text) for text in found):
        state = State.OK
    else:
        related = [text for text in found if _is_related(record, text)]
        state = State.DIFFERENT if related else State.MISSING
        found = related or found
    return {**record.view(), "state": state.value, "found": found[:MAX_SHOWN]}


def _absent(answer: Answer) -> State:
    return State.UNKNOWN if isinstance(answer, Unknown) else State.MISSING


def _texts(answer: Answer) -> list[str]:
    if not isinstance(answer, Found):
        return []
    return [_text(record) for record in answer.records]


def _text(record: Any) -> str:
    if hasattr(record, "strings"):
        return b"".join(record.strings).decode("utf-8", "replace")
    return str(record.to_text())


def _agrees(record: Record, found: str) -> bool:
    """An MX of another preference is ours as well; a policy may be any that is valid."""
    match record.kind:
        case "MX":
            return found.split()[-1:] == record.value.split()[-1:]
        case "SRV":
            return found.split()[2:] == record.value.split()[2:]
        case _:
            words, wanted = found.lower().split(), record.value.split()[0].rstrip(";").lower()
            if not words or words[0].rstrip(";") != wanted:
                return False
            return wanted != "v=spf1" or "mx" in (word.lstrip("+") for word in words)


def _is_related(record: Record, found: str) -> bool:
    """Whether a record stands where ours should: other TXT records of a name don't."""
    return record.kind != "TXT" or found.lower().startswith(record.value.split()[0].rstrip(";").lower())
