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


TURNS = """
import asyncio, os, sys
from shared import maillog
maillog.configure("info", "json")
sizes = []
class Counting:
    def write(self, data): sizes.append(len(data)); return os.write(2, data)
    def flush(self): pass
maillog.structlog.configure(logger_factory=lambda *_: lines)
lines = maillog._Lines(Counting())
log = maillog.MailLog("mta")
async def turn():
    for number in range(100):
        log.info("many", number=number, text="x" * 100)
    assert max(sizes) <= 4096 and len(sizes) < 10, sizes
    log.trouble("last")
    if os.fork() == 0:
        os._exit(0)
    log.info("after")
asyncio.run(turn())
"""


def test_lines_of_one_turn_go_together_in_order_and_none_is_lost() -> None:
    done = subprocess.run([sys.executable, "-c", TURNS], capture_output=True, check=True)
    events = [orjson.loads(line) for line in done.stderr.splitlines()]
    assert [event.get("number") for event in events] == [*range(100), None, None]
    assert [event["event"] for event in events[100:]] == ["trouble", "after"]
