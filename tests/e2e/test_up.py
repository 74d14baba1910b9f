"""`packetboat up` and the commands beside it, as the person at the terminal meets them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import smtplib
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.running import running
from tests.e2e.sessions import TIMEOUT, eventually, imap, message, received, submission, trust
from tests.tools.certificates import self_signed, trusting_context
from tests.tools.processes import tree
from tests.tools.stack import PACKETBOAT, REPOSITORY, STANDARD_PORTS, Stack, free_port_base, is_alive

ALICE, BOB = "alice@packetboat.test", "bob@packetboat.test"
SERVICES = {"mta", "relay", "mda", "access"}
START, STOP = 60.0, 40.0  # seconds
EXIT_MISTAKE = 2


class Up:
    """`packetboat up` with its standard output and error, told apart."""

    def __init__(self, data: Path, *options: str, env: dict[str, str] | None = None, base: int | None = None) -> None:
        self.base = free_port_base() if base is None else base
        command = [str(PACKETBOAT), "up", "--data", str(data), "--port-base", str(self.base), *options]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | (env or {}),
            cwd=REPOSITORY,
        )
        self.lines: list[str] = []

    def __enter__(self) -> Up:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.process.kill()
        self.process.communicate()

    def until_ready(self) -> list[str]:
        """What it printed up to `ready`."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if self.lines[-1] == "ready":
                return self.lines
        raise AssertionError("\n".join(self.lines) + self.complaint())

    def complaint(self) -> str:
        """What it said on standard error, once it has ended."""
        said = self.process.communicate(timeout=START)[1]
        return str(said)


def refused(data: Path, *options: str, base: int | None = None, **env: str) -> str:
    """The one line with which it ends instead of starting."""
    with Up(data, *options, env=env, base=base) as up:
        said = up.complaint()
        assert up.process.returncode == EXIT_MISTAKE, said
    assert said.startswith("packetboat: "), said
    assert len(said.strip().splitlines()) == 1, said
    return said


# Starting and stopping


def test_first_and_second_start(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Up(data) as up:
        printed = up.until_ready()
        for name, port in STANDARD_PORTS.items():
            assert any(f"127.0.0.1:{port + up.base}" in line for line in printed), name
        accounts = (data / "demo-accounts.txt").read_text().split()
        assert accounts[::2] == [ALICE, BOB]
        assert all(len(password) >= 12 for password in accounts[1::2])
        for address, password in zip(accounts[::2], accounts[1::2], strict=True):
            assert any(address in line and password in line for line in printed)
        assert stat.S_IMODE((data / "demo-accounts.txt").stat().st_mode) == 0o600
        assert stat.S_IMODE((data / "tls" / "key.pem").stat().st_mode) == 0o600
        with smtplib.SMTP("127.0.0.1", 25 + up.base, timeout=TIMEOUT) as client:
            client.sendmail("x@elsewhere.test", [ALICE], b"Subject: before the restart\r\n\r\nx\r\n")
        processes = tree([up.process.pid])
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(STOP) == 0
        assert up.complaint() == ""
        assert not [pid for pid in processes if is_alive(pid)]
    assert not (data / "run" / "processes.json").exists()
    with running(data) as stack:
        assert stack.passwords() == dict(zip(accounts[::2], accounts[1::2], strict=True))
        assert b"before the restart" in received(stack, ALICE, "before the restart")
        assert "created" not in stack.output()


def test_interrupt_lets_a_message_that_is_arriving_finish(tmp_path: Path) -> None:
    with Up(tmp_path / "data") as up:
        up.until_ready()
        client = smtplib.SMTP("127.0.0.1", 25 + up.base, timeout=TIMEOUT)
        begin_message(client, "half of it")
        up.process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        client.send(b"and the rest\r\n.\r\n")
        assert client.getreply()[0] == 250
        client.close()
        assert up.process.wait(STOP) == 0
    with running(tmp_path / "data") as stack:
        assert b"and the rest" in received(stack, ALICE, "half of it")


def test_ipv4_and_ipv6(tmp_path: Path) -> None:
    with running(tmp_path / "data", listen=["127.0.0.1", "::1"]) as stack:
        assert f"[::1]:{stack.ports.mx}" in stack.output()
        with smtplib.SMTP("::1", stack.ports.mx, timeout=TIMEOUT) as client:
            client.sendmail("x@elsewhere.test", [ALICE], b"Subject: over IPv6\r\n\r\nx\r\n")
        data = received(stack, ALICE, "over IPv6")
        assert b"[IPv6:::1]" in data
        context = trust(stack)
        with socket.create_connection(("::1", stack.ports.imaps), TIMEOUT) as plain:
            assert context.wrap_socket(plain, server_hostname="::1").recv(100).startswith(b"* OK")


def test_kill_9_leaves_no_process_and_no_loss(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Up(data) as up:
        up.until_ready()
        with smtplib.SMTP("127.0.0.1", 25 + up.base, timeout=TIMEOUT) as client:
            client.sendmail("x@elsewhere.test", [ALICE], b"Subject: just before\r\n\r\nx\r\n")
        others = [pid for pid in tree([up.process.pid]) if pid != up.process.pid]
        assert len(others) >= 1 + 2 * len(SERVICES)
        up.process.kill()
        up.process.wait()
        eventually(lambda: not [pid for pid in others if is_alive(pid)], "everything ended", timeout=STOP)
    # Redis may not have heard of the message any more: then the sweep finds it, a lease's time later
    with running(data, env={"PACKETBOAT_QUEUE_LEASE": "2", "PACKETBOAT_SWEEP_INTERVAL": "1"}) as stack:
        assert b"just before" in received(stack, ALICE, "just before")


# What is wrong is said in one line


def test_a_port_in_use(tmp_path: Path) -> None:
    base = free_port_base()
    with socket.create_server(("127.0.0.1", base + 25)):
        said = refused(tmp_path / "data", base=base)
    assert str(base + 25) in said
    assert "in use" in said


def test_data_in_use(stack: Stack) -> None:
    assert f"{stack.data}" in refused(stack.data)
    assert "running" in refused(stack.data)


@pytest.mark.parametrize(
    ("options", "env", "named"),
    [
        ((), {"PACKETBOAT_MTA_MAX_MESSAGE_SIZE": "large"}, "PACKETBOAT_MTA_MAX_MESSAGE_SIZE"),
        ((), {"PACKETBOAT_TRUSTED_NETWORKS": '["10.0.0.1/8"]'}, "PACKETBOAT_TRUSTED_NETWORKS"),
        ((), {"PACKETBOAT_TRUSTED_NETWORKS": "10.0.0.0/8"}, "PACKETBOAT_TRUSTED_NETWORKS"),
        ((), {"PACKETBOAT_RELAY_SMARTHOST": "a b c"}, "PACKETBOAT_RELAY_SMARTHOST"),
        ((), {"PACKETBOAT_RELAY_TRANSPORT": "not json"}, "PACKETBOAT_RELAY_TRANSPORT"),
        ((), {"PACKETBOAT_GRACE_PERIOD": "-1"}, "PACKETBOAT_GRACE_PERIOD"),
        ((), {"PACKETBOAT_UP_SERVICES": "mta,mtb"}, "mtb"),
        ((), {"PACKETBOAT_CONFIG": "no-such-file.toml"}, "no-such-file.toml"),
        ((), {"PACKETBOAT_DATABASE_URL": "mysql://here"}, "mysql"),
        (("--listen", "localhost.invalid"), {}, "PACKETBOAT_LISTEN"),
        (("--listen", "203.0.113.7"), {}, "203.0.113.7"),
        (("--listen", "0.0.0.0", "--allow-plaintext-auth"), {}, "loopback"),
        (("--resolver", "nonsense"), {}, "nonsense"),
    ],
)
def test_a_wrong_setting(tmp_path: Path, options: tuple[str, ...], env: dict[str, str], named: str) -> None:
    assert named in refused(tmp_path / "data", *options, **env)


def test_wrong_options_and_files(tmp_path: Path) -> None:
    with Up(tmp_path / "data", "--workers", "0") as up:
        assert "workers" in up.complaint()
        assert up.process.returncode == EXIT_MISTAKE
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in refused(tmp_path / "file")
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "packetboat.toml").write_text("this is = no toml =\n")
    assert "packetboat.toml" in refused(tmp_path / "config")


def test_a_wrong_certificate(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "tls"
    folder.mkdir(parents=True)
    (folder / "cert.pem").write_text("nonsense")
    (folder / "key.pem").write_text("nonsense")
    assert "cert.pem" in refused(tmp_path / "data")


# The services of a stack


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_health_and_metrics(stack: Stack, service: str) -> None:
    port = {"mta": 8081, "relay": 8082, "mda": 8083, "access": 8084}[service] + stack.ports.base
    assert _get(stack, port, "/healthz")[0] == 200
    assert _get(stack, port, "/readyz")[0] == 200
    status, body = _get(stack, port, "/metrics")
    assert status == 200
    assert re.search(r"(?m)^packetboat_\w+(?:\{[^}]*\})? [\d.e+]+$", body)
    assert _get(stack, port, "/nothing")[0] == 404


def _get(stack: Stack, port: int, path: str) -> tuple[int, str]:
    with socket.create_connection((stack.host, port), TIMEOUT) as wire:
        wire.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: wire.recv(65536), b"")).decode()
    return int(answer.split()[1]), answer.partition("\r\n\r\n")[2]


@pytest.mark.parametrize("service", ["mta", "mda", "relay", "access", "redis"])
def test_a_service_that_is_terminated_drains_and_comes_back(stack: Stack, service: str) -> None:
    before = stack.processes()[service].pid
    client = smtplib.SMTP(stack.host, stack.ports.mx, timeout=TIMEOUT)
    begin_message(client, f"while {service} ends")
    stack.kill_service(service, signal.SIGTERM, workers=False)
    time.sleep(0.3)
    client.send(b"the rest\r\n.\r\n")
    assert client.getreply()[0] == 250
    client.close()
    stack.wait_for_service(service, other_than=before)
    eventually(lambda: _listens(stack, stack.ports.imaps) and _listens(stack, stack.ports.mx), "the ports again")
    assert b"the rest" in received(stack, ALICE, f"while {service} ends")


def begin_message(client: smtplib.SMTP, subject: str) -> None:
    """Send half of a message to alice."""
    client.ehlo("elsewhere.test")
    client.mail("x@elsewhere.test")
    client.rcpt(ALICE)
    assert client.docmd("DATA")[0] == 354
    client.send(f"Subject: {subject}\r\n\r\n".encode())


def _listens(stack: Stack, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((stack.host, port)) == 0


# Certificates


def _shown(stack: Stack, name: str = "") -> bytes:
    """The certificate that IMAP shows to a client who asks for a name."""
    context = trusting_context()
    with (
        socket.create_connection((stack.host, stack.ports.imaps), TIMEOUT) as plain,
        context.wrap_socket(plain, server_hostname=name or None) as wire,
    ):
        return wire.getpeercert(binary_form=True) or b""


def _shown_by_smtp(stack: Stack, name: str) -> bytes:
    with smtplib.SMTP(stack.host, stack.ports.mx, timeout=TIMEOUT) as client:
        client._host = name  # type: ignore[attr-defined]  # the name that smtplib asks for
        client.starttls(context=trusting_context())
        return client.sock.getpeercert(binary_form=True) or b""  # type: ignore[union-attr]


@pytest.fixture
def own_certificate(stack: Stack) -> Iterator[Path]:
    """The stack's TLS folder, which is put back as it was."""
    folder = stack.data / "tls"
    kept = folder.with_name("tls.kept")
    shutil.copytree(folder, kept)
    original = _shown(stack)
    yield folder
    for path in (folder / "sni").iterdir():
        path.unlink()
    for name in ("key.pem", "cert.pem"):
        (kept / name).replace(folder / name)
    shutil.rmtree(kept)
    eventually(lambda: _shown(stack) == original, "the old certificate")


def test_a_new_certificate_is_taken_without_dropping_a_connection(
    stack: Stack, own_certificate: Path, tmp_path: Path
) -> None:
    old = _shown(stack)
    fresh = self_signed(tmp_path / "fresh", "renewed.packetboat.test")
    with imap(stack, ALICE) as reading, submission(stack, ALICE) as sending:
        fresh.key.replace(own_certificate / "key.pem")
        time.sleep(0.2)  # for a moment the two don't belong together
        assert _shown(stack) == old
        fresh.certificate.replace(own_certificate / "cert.pem")
        new = eventually(lambda: (shown := _shown(stack)) != old and shown, "a new certificate")
        eventually(lambda: _shown_by_smtp(stack, "localhost") == new, "the new certificate over SMTP")
        assert reading.noop()[0] == "OK"
        assert sending.noop()[0] == 250


def test_names_have_certificates_of_their_own(stack: Stack, own_certificate: Path, tmp_path: Path) -> None:
    default = _shown(stack)
    made = self_signed(tmp_path / "sni", "mail.other.test")
    made.key.rename(own_certificate / "sni" / "mail.other.test.key")
    made.certificate.rename(own_certificate / "sni" / "mail.other.test.crt")
    other = eventually(
        lambda: (shown := _shown(stack, "mail.other.test")) != default and shown, "a certificate by name"
    )
    eventually(lambda: _shown_by_smtp(stack, "MAIL.other.test") == other, "the same over SMTP")
    assert _shown(stack) == _shown(stack, "unknown.test") == _shown_by_smtp(stack, "localhost") == default


def test_workers_share_the_ports(tmp_path: Path) -> None:
    with running(tmp_path / "data", workers=2) as stack:
        processes = stack.processes()
        assert all(len(processes[service].workers) == 2 for service in SERVICES)
        for number in range(8):
            with submission(stack, ALICE) as client:
                client.send_message(message(f"worker {number}", ALICE, BOB))
        for number in range(8):
            received(stack, BOB, f"worker {number}")


def test_the_commands_explain_themselves() -> None:
    helped = _command("--help")
    for command in ("up", "mta", "relay", "mda", "access", "domain", "account", "alias", "queue", "trace", "selftest"):
        assert re.search(rf"\b{command}\b", helped.stdout)
    assert "--port-base" in _command("up", "--help").stdout
    for wrong in (["nonsense"], ["up", "--nonsense"], ["queue", "show"]):
        said = _command(*wrong)
        assert said.returncode == EXIT_MISTAKE
        assert "Usage" in said.stderr and "Traceback" not in said.stderr


def _command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PACKETBOAT, *arguments], capture_output=True, text=True, timeout=TIMEOUT)
