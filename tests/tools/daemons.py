"""Real scanners for tests, each in a folder of its own, ended by its process: rspamd, clamd, spamd, opendkim."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

START = 90.0  # seconds until a daemon must answer: the machine may be busy
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + rb"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
GTUBE = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*" + b"GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"


def needs(*programs: str) -> None:
    """Skip the test where a program is missing; fail it where PACKETBOAT_REQUIRE_ALL is 1."""
    missing = [program for program in programs if shutil.which(program, path=_PATH) is None]
    if missing and os.environ.get("PACKETBOAT_REQUIRE_ALL") == "1":
        pytest.fail(f"{', '.join(missing)}: required here, and missing")
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")


@contextlib.contextmanager
def rspamd(folder: Path, resolver: tuple[str, int], redis: str = "") -> Iterator[tuple[int, int]]:
    """Run rspamd, which keeps what it learns at `redis`; give the ports of its normal worker and its controller."""
    needs("rspamd")
    normal, controller = free_port(), free_port()
    local = folder / "local.d"
    local.mkdir(parents=True)
    (folder / "override.d").mkdir()
    (folder / "db").mkdir()
    files = {
        "options.inc": f'dns {{ nameserver = ["{resolver[0]}:{resolver[1]}"]; timeout = 0.5s; retransmits = 1; }}\n',
        "worker-normal.inc": f'bind_socket = "127.0.0.1:{normal}";\ncount = 1;\n',
        "worker-controller.inc": f'bind_socket = "127.0.0.1:{controller}";\nsecure_ip = "127.0.0.1";\n',
        "worker-proxy.inc": "enabled = false;\n",
        "worker-fuzzy.inc": "enabled = false;\n",
        "logging.inc": 'type = "console";\nlevel = "error";\n',
        "fuzzy_check.conf": "enabled = false;\n",
        "rbl.conf": "enabled = false;\n",
        "phishing.conf": "enabled = false;\n",
        "milter_headers.conf": 'use = ["x-spamd-bar"];\nskip_local = false;\nskip_authenticated = false;\n',
        "redis.conf": f'servers = "{redis}";\n' if redis else "",
        "classifier-bayes.conf": (
            f'backend = "redis";\nservers = "{redis}";\nmin_learns = 0;\nautolearn = false;\n' if redis else ""
        ),
    }
    for name, text in files.items():
        (local / name).write_text(text)
    variables = {"LOCAL_CONFDIR": folder, "DBDIR": folder / "db", "RUNDIR": folder, "LOGDIR": folder}
    arguments = [f"--var={name}={value}" for name, value in variables.items()]
    with running(["rspamd", "-f", "-i", *arguments], folder, lambda: listens("127.0.0.1", normal, controller)):
        yield normal, controller


@contextlib.contextmanager
def clamd(folder: Path) -> Iterator[Path]:
    """Run clamd with one signature; give its socket."""
    needs("clamd")
    folder.mkdir(parents=True)
    (folder / "db").mkdir()
    (folder / "db" / "test.ndb").write_text(f"Eicar-Test-Signature:0:*:{EICAR.hex()}\n")
    path = folder / "clamd.ctl"
    (folder / "clamd.conf").write_text(
        f"DatabaseDirectory {folder / 'db'}\nLocalSocket {path}\nForeground yes\nLogVerbose no\n"
        f"PidFile {folder / 'pid'}\nTemporaryDirectory {folder}\nStreamMaxLength 1M\n"
    )
    with running(["clamd", "--config-file", str(folder / "clamd.conf")], folder, lambda: answers(path)):
        yield path


@contextlib.contextmanager
def spamd() -> Iterator[int]:
    """Run spamd without the network's tests; give its port."""
    needs("spamd")
    folder = Path(tempfile.mkdtemp())  # where its children, who are nobody, may read
    folder.chmod(0o755)
    port = free_port()
    (folder / "local.cf").write_text("required_score 5.0\nuse_bayes 0\nuse_razor2 0\nuse_pyzor 0\nskip_rbl_checks 1\n")
    for rules in Path("/etc/spamassassin").glob("*.pre"):
        shutil.copy(rules, folder)
    command = [
        "spamd", "--local", "--max-children=2", "--min-spare=1", "--listen=127.0.0.1", f"--port={port}",
        "--nouser-config",
        f"--siteconfigpath={folder}", f"--pidfile={folder / 'pid'}", f"--helper-home-dir={folder}", "--syslog=stderr",
    ]  # fmt: skip
    try:
        with running(command, folder, lambda: listens("127.0.0.1", port)):
            yield port
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def opendkim(folder: Path, domain: str, *, signs: bool, resolver: tuple[str, int] | None = None) -> Iterator[int]:
    """Run OpenDKIM as a milter that signs for a domain, or that verifies; give its port."""
    needs("opendkim", "openssl")
    folder.mkdir(parents=True)
    port = free_port()
    key = folder / "key.pem"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    key.chmod(0o600)
    lines = [
        f"Socket inet:{port}@127.0.0.1", "Canonicalization relaxed/relaxed", "Syslog no", "RequireSafeKeys false",
        f"Mode {'s' if signs else 'v'}", f"TemporaryDirectory {folder}", "AlwaysAddARHeader yes",
    ]  # fmt: skip
    if signs:
        (folder / "internal").write_text("127.0.0.1\n")
        lines += [f"Domain {domain}", "Selector test", f"KeyFile {key}", f"InternalHosts {folder / 'internal'}"]
    if resolver is not None:
        lines.append(f"Nameservers {resolver[0]}")
    (folder / "opendkim.conf").write_text("\n".join(lines) + "\n")
    command = ["opendkim", "-f", "-x", str(folder / "opendkim.conf"), "-P", str(folder / "pid")]
    with running(command, folder, lambda: listens("127.0.0.1", port)):
        yield port


@contextlib.contextmanager
def running(command: Sequence[str], folder: Path, is_ready: Callable[[], bool]) -> Iterator[None]:
    """Run a daemon until the end of the block."""
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "PATH": _PATH},
        )
    try:
        deadline = time.monotonic() + START
        while not is_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text(errors="replace")[-3000:]
                raise AssertionError(f"{command[0]} doesn't start (status {process.returncode}):\n{said}")
            time.sleep(0.1)
        yield
    finally:
        _end(process)


def free_port() -> int:
    """A port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def listens(host: str, *ports: int) -> bool:
    """Whether somebody takes connections on each of the ports."""
    for port in ports:
        try:
            socket.create_connection((host, port), timeout=1).close()
        except OSError:
            return False
    return True


def answers(path: Path) -> bool:
    """Whether somebody takes connections on a Unix socket."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


_PATH = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
