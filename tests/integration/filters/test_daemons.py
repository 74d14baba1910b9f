"""The scanners' clients against the real daemons."""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from shared.filters.clamav import Clamav
from shared.filters.configuration import ClamavConfig, RspamdConfig, SpamassassinConfig
from shared.filters.failure import NotScanned, ScanFailed
from shared.filters.parcel import Parcel
from shared.filters.rspamd import Rspamd
from shared.filters.spamassassin import SpamAssassin
from shared.message.verdict import Action
from tests.tools import daemons
from tests.tools.daemons import EICAR, GTUBE
from tests.tools.dnsserver import DnsServer

HEAD = (
    b"From: Alice <alice@example.test>\r\nTo: bob@b.test\r\nSubject: figures\r\n"
    b"Date: Mon, 23 Nov 2026 04:00:00 +0000\r\nMessage-ID: <1@example.test>\r\n"
)
HAM = HEAD + b"\r\nHere are the figures of last month, as promised.\r\n"
SPAM = HEAD + b"\r\n" + GTUBE + b"\r\n"


def parcel(message: bytes, large: Path | None = None) -> Parcel:
    size = large.stat().st_size if large is not None else 0
    return Parcel(
        "01M83NDS5A5WVB2Z28K0ZA9VYS", "alice@example.test", ("bob@b.test",), message, large, size,
        ip="192.0.2.1", helo="mx.example.test", hostname="mx.example.test", listener="mx",
    )  # fmt: skip


def zipped(content: bytes) -> bytes:
    """A message with a zip that has a file."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("invoice.txt", content)
    return (
        HEAD + b"MIME-Version: 1.0\r\nContent-Type: application/zip; name=a.zip\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(packed.getvalue()).replace(b"\n", b"\r\n")
    )  # fmt: skip


@pytest.fixture(scope="module")
def resolver() -> Iterator[DnsServer]:
    with DnsServer() as server:
        server.set_zone("example.test", "@ MX 10 mx\nmx A 192.0.2.1\n@ A 192.0.2.1")
        yield server


@pytest.fixture(scope="module")
def rspamd_ports(tmp_path_factory: pytest.TempPathFactory, resolver: DnsServer) -> Iterator[tuple[int, int]]:
    with daemons.rspamd(tmp_path_factory.mktemp("r") / "d", (resolver.host, resolver.port)) as ports:
        yield ports


@pytest.fixture
async def rspamd(rspamd_ports: tuple[int, int]) -> AsyncIterator[Rspamd]:
    client = Rspamd(RspamdConfig(name="rspamd", url=f"http://127.0.0.1:{rspamd_ports[0]}"), "mx.b.test")
    yield client
    await client.close()


async def test_rspamd_refuses_gtube(rspamd: Rspamd) -> None:
    verdict = await rspamd.scan(parcel(SPAM))
    assert verdict.action is Action.REJECT
    assert any(symbol.startswith("GTUBE") for symbol in verdict.symbols)
    assert "Gtube" in verdict.reason


async def test_rspamd_lets_ham_pass_and_tells_its_score(rspamd: Rspamd) -> None:
    verdict = await rspamd.scan(parcel(HAM))
    assert verdict.action is Action.NONE
    assert verdict.score is not None
    assert verdict.threshold is not None
    assert verdict.score < verdict.threshold


async def test_rspamd_gets_a_long_message_in_pieces(rspamd: Rspamd, tmp_path: Path) -> None:
    body = tmp_path / "large"
    body.write_bytes(b"Nothing to see.\r\n" * 40_000)
    verdict = await rspamd.scan(parcel(HEAD + b"\r\n", body))
    assert verdict.action is Action.NONE
    assert verdict.symbols


async def test_clamd_finds_a_virus_in_a_zip_and_nothing_in_ham(tmp_path: Path) -> None:
    with daemons.clamd(tmp_path / "c") as path:
        client = Clamav(ClamavConfig(name="clamav", address=str(path)))
        found = await client.scan(parcel(zipped(EICAR)))
        assert found.action is Action.REJECT
        assert found.virus.startswith("Eicar-Test-Signature")
        clean = await client.scan(parcel(zipped(b"nothing")))
        assert (clean.action, clean.virus, clean.looked_for_viruses) == (Action.NONE, "", True)
        with pytest.raises((NotScanned, ScanFailed)):  # it hangs up, and its answer may be lost with that
            await client.scan(parcel(HEAD + b"\r\n" + b"x" * 3_000_000))


async def test_spamd_tells_scores_and_rules() -> None:
    with daemons.spamd() as port:
        client = SpamAssassin(SpamassassinConfig(name="spamassassin", address=f"127.0.0.1:{port}", reject_score=500))
        spam = await client.scan(parcel(SPAM))
        assert spam.action is Action.REJECT
        assert spam.score is not None and spam.score >= 900
        assert "GTUBE" in spam.symbols
        ham = await client.scan(parcel(HAM))
        assert ham.action is Action.NONE
        assert ham.threshold == 5.0
