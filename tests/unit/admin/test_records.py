"""What a domain should publish, and what DNS says of it."""

from __future__ import annotations

import dns.rdata
import dns.rdataclass
import dns.rdatatype

from shared.dns import Answer, Found, Missing, Unknown
from shared.operations.records import check_records, records_of


class FakeResolver:
    """Answers from a table of texts."""

    def __init__(self, answers: dict[tuple[str, str], Answer]) -> None:
        self.answers = answers

    async def look_up(self, name: str, kind: str) -> Answer:
        return self.answers.get((name, kind), Missing(True, 1))

    async def addresses(self, host: str) -> Answer:
        return self.answers.get((host, "A"), Missing(True, 1))


def found(kind: str, *texts: str) -> Found:
    records = [dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.from_text(kind), text) for text in texts]
    return Found("x", tuple(records), 60)


async def states(**answers: Answer) -> dict[tuple[str, str], str]:
    table = {tuple(name.split(" ")): answer for name, answer in answers.items()}
    views = await check_records(FakeResolver(table), "a.test", "mx.a.test")  # type: ignore[arg-type]
    return {(view["name"], view["type"]): view["state"] for view in views}


def test_what_mail_needs_is_required() -> None:
    required = {(record.name, record.kind) for record in records_of("a.test", "mx.a.test") if record.required}
    assert required == {("a.test", "MX"), ("a.test", "TXT")}


async def test_all_right() -> None:
    got = await states(
        **{
            "a.test MX": found("MX", "5 other.test.", "20 mx.a.test."),
            "a.test TXT": found("TXT", '"google-site=1"', '"v=spf1 ip4:192.0.2.1 mx ~all"'),
            "_dmarc.a.test TXT": found("TXT", '"v=DMARC1; p=none"'),
            "_imaps._tcp.a.test SRV": found("SRV", "5 5 993 mx.a.test."),
            "mx.a.test A": found("A", "192.0.2.1"),
        }
    )
    expected = [("a.test", "MX"), ("a.test", "TXT"), ("_dmarc.a.test", "TXT"), ("mx.a.test", "A")]
    assert {key: got[key] for key in expected} == dict.fromkeys(expected, "ok")
    assert got["_imaps._tcp.a.test", "SRV"] == "ok"
    assert got["_imap._tcp.a.test", "SRV"] == "missing"


async def test_what_is_wrong_is_told_apart() -> None:
    got = await states(
        **{
            "a.test MX": found("MX", "10 elsewhere.test."),
            "a.test TXT": found("TXT", '"v=spf1 -all"'),
            "_dmarc.a.test TXT": found("TXT", '"unrelated"'),
            "mx.a.test A": Unknown("SERVFAIL"),
        }
    )
    assert got["a.test", "MX"] == "different"
    assert got["a.test", "TXT"] == "different"
    assert got["_dmarc.a.test", "TXT"] == "missing"
    assert got["mx.a.test", "A"] == "unknown"
