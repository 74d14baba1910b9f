"""Mail moved into and out of Junk is learned by a real rspamd, with a real IMAP client."""

from __future__ import annotations

import imaplib
import json
import smtplib
import time
import urllib.request
from pathlib import Path

import pytest

from tests.integration.filters.test_daemons import HEAD
from tests.tools import daemons
from tests.tools.certificates import trusting_context
from tests.tools.daemons import GTUBE
from tests.tools.dnsserver import DnsServer
from tests.tools.stack import Stack

WORDS = b"\r\n".join(f"Distinct word{n} and thing{n * 7} say number{n * 13}.".encode() for n in range(60))


def learned(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/stat", timeout=10) as answer:
        return int(json.load(answer)["learned"])


def wait_for(count: int, port: int) -> None:
    deadline = time.monotonic() + 40
    while learned(port) != count:
        assert time.monotonic() < deadline, f"learned {learned(port)}, not {count}"
        time.sleep(0.3)


def test_gtube_is_refused_and_moving_into_and_out_of_junk_trains_rspamd(tmp_path: Path, redis_url: str) -> None:
    address = redis_url.removeprefix("unix://").removeprefix("redis://").partition("?")[0]
    with DnsServer() as dns, daemons.rspamd(tmp_path / "r", (dns.host, dns.port), address) as (normal, controller):
        (tmp_path / "scanners.toml").write_text(
            f'[rspamd]\nurl = "http://127.0.0.1:{normal}"\nlearn_url = "http://127.0.0.1:{controller}"\n'
        )
        with Stack(tmp_path / "data", env={"PACKETBOAT_SCANNERS": str(tmp_path / "scanners.toml")}) as stack:
            stack.add_account("carol@packetboat.test", "secret word")
            with smtplib.SMTP(stack.host, stack.ports.mx) as client:
                with pytest.raises(smtplib.SMTPDataError, match=r"550.*Gtube"):
                    client.sendmail("a@example.test", "carol@packetboat.test", HEAD + b"\r\n" + GTUBE + b"\r\n")
                client.sendmail("a@example.test", "carol@packetboat.test", HEAD + b"\r\n" + WORDS + b"\r\n")
            context = trusting_context()
            with imaplib.IMAP4_SSL(stack.host, stack.ports.imaps, ssl_context=context) as imap:
                imap.login("carol@packetboat.test", "secret word")
                deadline = time.monotonic() + 60
                while int(imap.select("INBOX")[1][0] or b"0") == 0:
                    assert time.monotonic() < deadline
                    time.sleep(0.2)
                assert imap._simple_command("MOVE", "1", "Junk")[0] == "OK"
                wait_for(1, controller)
                imap.select("Junk")
                assert imap._simple_command("MOVE", "1", "INBOX")[0] == "OK"
                wait_for(2, controller)
