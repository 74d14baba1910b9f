"""ManageSieve against a real worker: every command by hand, and sieve-connect as a real client."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest

from services.access.limits import Limits
from shared.operations.scripts import MAX_SCRIPTS
from tests.integration.access.conftest import ALICE, BOB, PASSWORDS, RunningAccess
from tests.tools.certificates import trusting_context

SCRIPT = b'require "fileinto";\r\nfileinto "Archive";\r\n'
BROKEN = b'require "fileinto";\r\nfileinto;\r\nfoo "x";\r\n'


class SieveClient:
    """Commands and whole responses as octets."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=15)
        self.file = self.socket.makefile("rb")
        self.capabilities = self.response()

    def response(self) -> list[bytes]:
        """The lines up to OK, NO or BYE, literals put in."""
        lines = []
        while True:
            line = self.file.readline()
            while line.endswith(b"}\r\n") and b"{" in line:
                start, _, length = line[:-3].rpartition(b"{")
                line = start + self.file.read(int(length)) + self.file.readline()
            lines.append(line.removesuffix(b"\r\n"))
            if line[:2] in (b"OK", b"NO") or line[:3] == b"BYE" or not line:
                return lines

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def command(self, text: str | bytes, literal: bytes | None = None) -> list[bytes]:
        data = text.encode() if isinstance(text, str) else text
        tail = b" {%d+}\r\n%b\r\n" % (len(literal), literal) if literal is not None else b"\r\n"
        self.send(data + tail)
        return self.response()

    def status(self, text: str | bytes, literal: bytes | None = None) -> bytes:
        return self.command(text, literal)[-1]

    def log_in(self, address: str = ALICE) -> bytes:
        return self.status(f'AUTHENTICATE "PLAIN" "{plain(address)}"')

    def start_tls(self) -> None:
        assert self.status("STARTTLS").startswith(b"OK")
        self.socket = trusting_context().wrap_socket(self.socket)
        self.file = self.socket.makefile("rb")
        self.capabilities = self.response()


def plain(address: str, password: str = "") -> str:
    return b64encode(f"\0{address}\0{password or PASSWORDS[address]}".encode()).decode()


def connect(access: RunningAccess) -> SieveClient:
    return SieveClient(4190 + access.settings.port_base)


def test_everything_that_a_script_goes_through(access: RunningAccess) -> None:
    client = connect(access)
    assert any(line.startswith(b'"SIEVE" "') and b" vacation " in line for line in client.capabilities)
    assert b'"VERSION" "1.0"' in client.capabilities
    assert client.status("LISTSCRIPTS").startswith(b"NO")
    assert client.log_in() == b'OK "Logged in"'
    assert f'"OWNER" "{ALICE}"'.encode() in client.command("CAPABILITY")
    assert client.command("LISTSCRIPTS") == [b"OK"]
    assert client.status('HAVESPACE "main" 100') == b"OK"
    assert client.status('PUTSCRIPT "main"', SCRIPT) == b"OK"
    assert client.status('PUTSCRIPT "später"', b"keep;") == b"OK"
    assert client.command("LISTSCRIPTS") == [b'"main"', '"später"'.encode(), b"OK"]
    assert client.status('SETACTIVE "main"') == b"OK"
    assert client.command("LISTSCRIPTS")[0] == b'"main" ACTIVE'
    assert client.command('GETSCRIPT "main"') == [SCRIPT, b"OK"]
    assert client.status('DELETESCRIPT "main"').startswith(b"NO (ACTIVE)")
    assert client.status('RENAMESCRIPT "main" "später"').startswith(b"NO (ALREADYEXISTS)")
    assert client.status('RENAMESCRIPT "none" "other"').startswith(b"NO (NONEXISTENT)")
    assert client.status('RENAMESCRIPT "main" "first"') == b"OK"
    assert client.command("LISTSCRIPTS")[0] == b'"first" ACTIVE'
    assert client.status('SETACTIVE "main"').startswith(b"NO (NONEXISTENT)")
    assert client.status('SETACTIVE ""') == b"OK"
    assert client.status('DELETESCRIPT "first"') == b"OK"
    assert client.status('GETSCRIPT "first"').startswith(b"NO (NONEXISTENT)")
    assert client.status("LOGOUT").startswith(b"OK")
    assert client.file.read() == b""


def test_errors_are_told_with_their_places(access: RunningAccess) -> None:
    client = connect(access)
    client.log_in()
    for command in ("CHECKSCRIPT", 'PUTSCRIPT "x"'):
        answer = client.status(command, BROKEN)
        assert answer.startswith(b"NO ")
        assert b"line 2, column 1: " in answer and b"line 3, column 1: " in answer
    assert client.status("CHECKSCRIPT", SCRIPT) == b"OK"
    assert client.status("CHECKSCRIPT", b'require "no-such-thing";').startswith(b"NO ")
    assert client.command("LISTSCRIPTS") == [b"OK"]


def test_quotas(access: RunningAccess) -> None:
    client = connect(access)
    client.log_in()
    for number in range(MAX_SCRIPTS):
        assert client.status(f'PUTSCRIPT "s{number}"', b"keep;") == b"OK"
    assert client.status('PUTSCRIPT "more"', b"keep;").startswith(b"NO (QUOTA/MAXSCRIPTS)")
    assert client.status('HAVESPACE "more" 5').startswith(b"NO (QUOTA/MAXSCRIPTS)")
    assert client.status('PUTSCRIPT "s0"', b"stop;") == b"OK"
    assert client.status('HAVESPACE "s0" 999999').startswith(b"NO (QUOTA/MAXSIZE)")
    assert client.status('PUTSCRIPT "s0"', b"#" * 300_000).startswith(b"NO (QUOTA/MAXSIZE)")
    for number in range(4):
        client.status(f'PUTSCRIPT "s{number}"', b"#" * 250_000)
    assert client.status('PUTSCRIPT "s5"', b"#" * 250_000).startswith(b"NO (QUOTA)")
    assert client.status("NOOP") == b"OK"


def test_others_scripts_are_not_seen(access: RunningAccess) -> None:
    client = connect(access)
    client.log_in()
    client.status('PUTSCRIPT "main"', SCRIPT)
    assert client.status("UNAUTHENTICATE") == b"OK"
    assert client.status('GETSCRIPT "main"') == b'NO "Log in first"'
    client.log_in(BOB)
    assert client.command("LISTSCRIPTS") == [b"OK"]


def test_wrong_passwords_and_cancelled_exchanges(access: RunningAccess) -> None:
    client = connect(access)
    assert client.status(f'AUTHENTICATE "PLAIN" "{plain(ALICE, "wrong")}"') == b'NO "Wrong name or password"'
    client.send(b'AUTHENTICATE "PLAIN"\r\n')
    assert client.file.readline() == b'""\r\n'
    assert client.status('"*"').startswith(b"NO")
    assert client.status('AUTHENTICATE "NONE"').startswith(b"NO")
    client.send(b'AUTHENTICATE "PLAIN"\r\n')
    client.file.readline()
    assert client.status("", plain(ALICE).encode()).startswith(b"OK")
    assert client.status('AUTHENTICATE "PLAIN"').startswith(b"NO")


def test_tls_comes_before_passwords(start_access: Callable[..., RunningAccess]) -> None:
    access = start_access(allow_plaintext_auth=False)
    client = connect(access)
    assert b'"SASL" ""' in client.capabilities and b'"STARTTLS"' in client.capabilities
    assert client.log_in().startswith(b"NO (ENCRYPT-NEEDED)")
    client.start_tls()
    assert b'"STARTTLS"' not in client.capabilities
    assert any(line.startswith(b'"SASL" "') and b"PLAIN" in line for line in client.capabilities)
    assert client.log_in().startswith(b"OK")


def test_what_follows_starttls_in_the_clear_is_forgotten(access: RunningAccess) -> None:
    client = connect(access)
    client.send(b'STARTTLS\r\nNOOP "injected"\r\n')
    assert client.response()[-1].startswith(b"OK")
    client.socket = trusting_context().wrap_socket(client.socket)
    client.file = client.socket.makefile("rb")
    client.response()
    assert client.status('NOOP "mine"') == b'OK (TAG "mine")'


def test_nonsense_ends_a_session(access: RunningAccess) -> None:
    client = connect(access)
    for _ in range(Limits().errors - 1):
        assert client.status("HELLO").startswith(b"NO")
    client.send(b"HELLO\r\n")
    assert client.response()[-1].startswith(b"NO")
    assert client.response()[-1].startswith(b"BYE")


def test_pipelined_commands_are_answered_in_order(access: RunningAccess) -> None:
    client = connect(access)
    client.send(b"".join(b'NOOP "%d"\r\n' % number for number in range(100)))
    assert [client.response() for _ in range(100)] == [[b'OK (TAG "%d")' % number] for number in range(100)]


def test_on_postgresql(access_on_postgres: RunningAccess) -> None:
    client = connect(access_on_postgres)
    client.log_in()
    assert client.status('PUTSCRIPT "main"', SCRIPT) == b"OK"
    assert client.status('SETACTIVE "main"') == b"OK"
    assert client.status('PUTSCRIPT "other"', SCRIPT) == b"OK"
    assert client.status('SETACTIVE "other"') == b"OK"
    assert client.command("LISTSCRIPTS") == [b'"main"', b'"other" ACTIVE', b"OK"]
    assert client.command('GETSCRIPT "main"') == [SCRIPT, b"OK"]


def test_sieve_connect(access: RunningAccess, tmp_path: Path) -> None:
    program = shutil.which("sieve-connect")
    if program is None:
        if os.environ.get("PACKETBOAT_REQUIRE_ALL") == "1":
            pytest.fail("sieve-connect is required here, and missing")
        pytest.skip("needs sieve-connect (apt-get install sieve-connect)")
    script = tmp_path / "holiday.sieve"
    script.write_bytes(SCRIPT)
    broken = tmp_path / "broken.sieve"
    broken.write_bytes(BROKEN)

    def run(*arguments: str) -> tuple[int, str]:
        reading, writing = os.pipe()
        os.write(writing, PASSWORDS[ALICE].encode() + b"\n")
        os.close(writing)
        done = subprocess.run(
            [program, "--server", "127.0.0.1", "--port", str(4190 + access.settings.port_base), "--user", ALICE,
             "--passwordfd", str(reading), "--notlsverify", "--authmech", "PLAIN", *arguments],
            pass_fds=(reading,), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=60, check=False,
        )  # fmt: skip
        os.close(reading)
        return done.returncode, done.stdout.decode()

    status, said = run("--localsieve", str(script), "--remotesieve", "holiday", "--upload")
    assert status == 0, said
    assert run("--remotesieve", "holiday", "--activate")[0] == 0
    status, said = run("--list")
    assert status == 0 and "holiday" in said and "ACTIVE" in said.upper()
    fetched = tmp_path / "fetched.sieve"
    assert run("--remotesieve", "holiday", "--localsieve", str(fetched), "--download")[0] == 0
    assert fetched.read_bytes().split() == SCRIPT.split()
    status, said = run("--localsieve", str(broken), "--checkscript")
    assert status != 0 or "line 2, column 1" in said
    status, said = run("--localsieve", str(broken), "--remotesieve", "broken", "--upload")
    assert "line 2, column 1" in said
    assert run("--deactivate")[0] == 0
    assert run("--remotesieve", "holiday", "--delete")[0] == 0
    assert "holiday" not in run("--list")[1]
