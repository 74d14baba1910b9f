"""`python -m services.mta` as a service: it starts, says it is ready, drains on SIGTERM, and names mistakes."""

from __future__ import annotations

import asyncio
import os
import signal
import smtplib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.mta.conftest import fill_directory
from tests.tools.certificates import self_signed
from tests.tools.stack import free_port_base

REPOSITORY = Path(__file__).resolve().parents[3]
MESSAGE = b"Subject: hello\r\n\r\nbody\r\n"


@pytest.fixture
def environment(tmp_path: Path, redis_url: str) -> dict[str, str]:
    """Settings of a service with a directory and a certificate in its data folder."""
    asyncio.run(fill_directory(f"sqlite:///{tmp_path}/packetboat.db"))
    self_signed(tmp_path / "tls", "mail.a.test")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        health = probe.getsockname()[1]
    settings = {
        "DATA": str(tmp_path),
        "REDIS_URL": redis_url,
        "HOSTNAME": "mail.a.test",
        "PORT_BASE": str(free_port_base()),
        "RESERVE_BYTES": "0",
        "WORKERS": "2",
        "HEALTH_LISTEN": f"127.0.0.1:{health}",
    }
    return {**os.environ, **{f"PACKETBOAT_{name}": value for name, value in settings.items()}}


@pytest.fixture
def service(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """The running service."""
    process = start(environment)
    wait_until_ready(process, environment)
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


def start(environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "services.mta"], cwd=REPOSITORY, env=environment, stderr=subprocess.PIPE, text=True
    )


def page(environment: dict[str, str], path: str) -> str:
    with urllib.request.urlopen(f"http://{environment['PACKETBOAT_HEALTH_LISTEN']}{path}", timeout=5) as answer:
        return str(answer.read().decode())


def wait_until_ready(process: subprocess.Popen[str], environment: dict[str, str]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[1]
        try:
            assert page(environment, "/readyz") == "ready\n"
            return
        except (OSError, urllib.error.HTTPError):
            time.sleep(0.05)
    raise AssertionError("not ready in time")


def test_it_takes_mail_and_drains(service: subprocess.Popen[str], environment: dict[str, str]) -> None:
    port = 25 + int(environment["PACKETBOAT_PORT_BASE"])
    for _ in range(10):  # both workers, probably
        with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
            client.sendmail("x@b.test", ["alice@a.test"], MESSAGE)
            with pytest.raises(smtplib.SMTPRecipientsRefused):
                client.sendmail("x@b.test", ["nobody@a.test"], MESSAGE)
    metrics = page(environment, "/metrics")
    assert 'packetboat_accepted_total{listener="mx"} 10.0' in metrics
    assert 'packetboat_rejected_total{code="550",listener="mx"} 10.0' in metrics
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        service.send_signal(signal.SIGTERM)
        assert client.getreply()[0] == 421
    log = service.communicate(timeout=30)[1]
    assert service.returncode == 0, log
    assert log.count('"event":"accepted"') == 10 and "Traceback" not in log


def test_a_missing_certificate_is_one_line(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "tls" / "cert.pem").unlink()
    process = start({**environment, "PACKETBOAT_WORKERS": "1"})
    log = process.communicate(timeout=30)[1]
    lines = [line for line in log.splitlines() if line.startswith("packetboat mta: ")]
    assert process.returncode == 78
    assert set(lines) == {f"packetboat mta: TLS: can't read {tmp_path}/tls/cert.pem: No such file or directory"}
    assert "Traceback" not in log


def test_a_wrong_setting_is_one_line(environment: dict[str, str]) -> None:
    process = start({**environment, "PACKETBOAT_MTA_MAX_RECIPIENTS": "many"})
    log = process.communicate(timeout=30)[1]
    assert process.returncode == 78
    assert log.startswith("packetboat mta: PACKETBOAT_MTA_MAX_RECIPIENTS: ") and log.count("\n") == 1
