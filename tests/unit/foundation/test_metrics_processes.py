"""Metrics of forked workers: each process has values of its own, and they are told together."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os, shutil
from shared import process
process.prepare_metrics()
from shared.metrics import LOGINS
LOGINS.labels("imap", "ok").inc()
for amount in (10, 100):
    child = os.fork()
    if not child:
        LOGINS.labels("imap", "ok").inc(amount)
        os._exit(0)
    os.waitpid(child, 0)
LOGINS.labels("imap", "ok").inc(1000)
print(process.collect_metrics().decode())
shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"])
"""


def test_what_forked_processes_count_is_added_up() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    assert 'packetboat_logins_total{outcome="ok",protocol="imap"} 1111.0' in done.stdout
