"""The log's form: one JSON object a line."""

from __future__ import annotations

import re
import subprocess
import sys

import orjson

PROGRAM = """
from shared import maillog
maillog.configure("info", "json")
log = maillog.MailLog("mta")
log.accepted("ID", sender="a@b.test", recipients=1, size=2, ip="192.0.2.1")
log.debug("not shown")
try:
    raise ValueError("why")
except ValueError as error:
    log.trouble("broken", exc_info=error)
"""


def test_a_json_object_a_line_with_level_time_and_traceback() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True)
    accepted, trouble = (orjson.loads(line) for line in done.stderr.splitlines())
    assert accepted["event"] == "accepted" and accepted["entry"] == "ID" and accepted["level"] == "info"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", accepted["at"])
    assert trouble["level"] == "error" and "ValueError: why" in trouble["exception"]
