"""A private Dovecot instance, configured by the files in dovecot/."""

from __future__ import annotations

import enum
import os
import shutil
import subprocess
from pathlib import Path

from tests.bench.accounts import ACCOUNTS, PASSWORD
from tests.bench.peers.postfix import wait_for_greeting
from tests.bench.peers.templates import fill
from tests.bench.server import Endpoint
from tests.tools.certificates import self_signed
from tests.tools.processes import kill_tree
from tests.tools.stack import free_port

MAIL_UID = 20_000  # needs no entry in /etc/passwd


class DovecotProfile(enum.Enum):
    """How its processes are used."""

    SHIPPED = "shipped"
    TUNED = "tuned"
    HIBERNATE = "hibernate"


class MailFormat(enum.Enum):
    """How it stores mail; the value is mail_location."""

    MDBOX = "mdbox:~/mdbox"
    MAILDIR = "maildir:~/Maildir"


class Dovecot:
    """One instance under `work`."""

    def __init__(
        self,
        work: Path,
        mail_format: MailFormat,
        profile: DovecotProfile = DovecotProfile.SHIPPED,
        *,
        script: Path | None = None,
    ) -> None:
        """`script` is a Sieve script that every account has."""
        self.name = f"dovecot ({profile.value}, {mail_format.name.lower()})"
        self.imap: Endpoint = ("127.0.0.1", free_port())
        self.imaps: Endpoint = ("127.0.0.1", free_port())
        self.pop3: Endpoint = ("127.0.0.1", free_port())
        self.smtp = self.submission = ("127.0.0.1", 0)
        self.lmtp = work / "run" / "bench-lmtp"
        self.lmtp_port = free_port()
        self._script = script
        self._work = work
        self._mail = work / "mail"
        self._config = work / "dovecot.conf"
        self._process: subprocess.Popen[bytes] | None = None
        self._create(mail_format, profile)

    def reset(self) -> None:
        """Forget all mail and indexes."""
        shutil.rmtree(self._mail, ignore_errors=True)
        self._mail.mkdir()
        os.chown(self._mail, MAIL_UID, MAIL_UID)

    def clone_mail(self, source: str, targets: list[str]) -> None:
        """Give other accounts a copy of one account's mail; only while stopped."""
        for target in targets:
            folder = self._mail / _local(target)
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run(["cp", "-a", str(self._mail / _local(source)), str(folder)], check=True)

    def start(self) -> None:
        """Start and wait for the greeting."""
        self._process = subprocess.Popen(
            ["dovecot", "-F", "-c", str(self._config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the benchmark, which stops its servers in order
        )
        wait_for_greeting(self.imap)

    def stop(self) -> None:
        """SIGTERM to the master and wait."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    def kill(self) -> None:
        """SIGKILL to all processes."""
        if self._process is not None:
            kill_tree(self.roots())
            self._process.wait()
            self._process = None

    def roots(self) -> list[int]:
        """The master process."""
        return [self._process.pid] if self._process else []

    def _create(self, mail_format: MailFormat, profile: DovecotProfile) -> None:
        self._work.mkdir(parents=True, exist_ok=True)
        self_signed(self._work / "tls", "bench.test")
        values = {
            "WORK": self._work,
            "UID": MAIL_UID,
            "LOCATION": mail_format.value,
            "LMTP": self.lmtp,
            "SSL": "yes",
            "IMAP": self.imap[1],
            "IMAPS": self.imaps[1],
            "POP3": self.pop3[1],
            "CORES": os.cpu_count() or 1,
            "PROFILE": "",
        }
        values["PROFILE"] = fill(f"dovecot/{profile.value}.conf", values)
        if self._script is not None:
            values |= {"SCRIPT": self._compiled(self._script), "LMTP_PORT": self.lmtp_port}
            values["PROFILE"] = f"{values['PROFILE']}{fill('dovecot/sieve.conf', values)}"
        self._config.write_text(fill("dovecot/dovecot.conf", values))
        users = self._work / "users"
        # In the clear, which is fastest: Dovecot's cache saves it the file, but it hashes at every login
        # (SHA512-CRYPT: 4.4 ms of CPU), where our cache of verified logins saves the hash.
        users.write_text("".join(f"{address}:{{PLAIN}}{PASSWORD}\n" for address in ACCOUNTS))
        users.chmod(0o644)
        self.reset()

    def _compiled(self, script: Path) -> Path:
        """Put the script and its compiled form where every process may read them."""
        copy = self._work / script.name
        shutil.copyfile(script, copy)
        copy.chmod(0o644)
        subprocess.run(["sievec", str(copy)], check=True)
        copy.with_suffix(".svbin").chmod(0o644)
        return copy


def _local(address: str) -> str:
    return address.partition("@")[0]
