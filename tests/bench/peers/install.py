"""Installs the peers from Debian's packages, without starting their services."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("postfix", "smtp-source", "smtp-sink", "dovecot", "doveadm", "sievec", "strace")
PACKAGES = ("postfix", "dovecot-core", "dovecot-imapd", "dovecot-pop3d", "dovecot-lmtpd", "dovecot-sieve", "strace")
POLICY = Path("/usr/sbin/policy-rc.d")  # asked by Debian's packages before they start a service
NEVER_START = "#!/bin/sh\nexit 101\n"


def install_missing() -> None:
    """Install what is missing with apt-get; RuntimeError if it still is afterwards."""
    if not _missing():
        return
    if shutil.which("apt-get"):
        with _services_stay_down():
            environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            command = ["apt-get", "install", "-y", "--no-install-recommends", *PACKAGES]
            subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    if missing := _missing():
        raise RuntimeError(f"missing: {', '.join(missing)}; Debian has them in {', '.join(PACKAGES)}")


def _missing() -> list[str]:
    return [program for program in PROGRAMS if shutil.which(program) is None]


@contextmanager
def _services_stay_down() -> Iterator[None]:
    """A mail server of the benchmark must not begin to serve port 25 of this machine."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text(NEVER_START)
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()
