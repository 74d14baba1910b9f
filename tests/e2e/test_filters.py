"""Scanners, the quarantine and Python filters of a whole stack, as an operator has them."""

from __future__ import annotations

import json
import smtplib
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tools import daemons
from tests.tools.daemons import EICAR
from tests.tools.stack import PACKETBOAT, Stack

BOB = "bob@packetboat.test"
FILTER = """
from shared.filters.api import Actions, Context, Message

async def filter(message: Message, context: Context) -> Actions:
    if "boom" in message.subject:
        raise ValueError("boom")
    return Actions().file_into("Sorted", create=True) if "sort" in message.subject else Actions()
"""


def command(stack: Stack, *words: str, status: int = 0) -> str:
    done = subprocess.run(
        [str(PACKETBOAT), *words, "--data", str(stack.data)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def send(stack: Stack, subject: str, body: str = "hello") -> None:
    text = f"From: a@out.test\r\nTo: {BOB}\r\nSubject: {subject}\r\nMessage-ID: <{subject}@out.test>\r\n\r\n{body}\r\n"
    with smtplib.SMTP(stack.host, stack.ports.mx) as client:
        client.sendmail("a@out.test", [BOB], text.encode())


def until(what: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it doesn't happen"
        time.sleep(0.3)


def outcome(stack: Stack, subject: str) -> str:
    return command(stack, "trace", f"<{subject}@out.test>")


def test_viruses_are_kept_back_and_filters_have_their_say(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with daemons.clamd(tmp_path / "clam") as socket:
        (data / "scanners.toml").write_text(
            f'[clamav]\nat = "mda"\naddress = "{socket}"\nvirus = "quarantine"\nwhen_down = "tempfail"\n'
        )
        with Stack(data) as stack:
            send(stack, "virus", EICAR.decode())
            until(lambda: "clamav: virus" in command(stack, "quarantine", "list"))
            (row,) = [json.loads(line) for line in command(stack, "quarantine", "list", "--json").splitlines()]
            assert row["recipient"] == BOB
            assert "Subject: virus" in command(stack, "quarantine", "show", row["entry"])
            assert EICAR.decode() in command(stack, "quarantine", "show", row["entry"], "--source")
            assert "held" in outcome(stack, "virus") and "quarantined: clamav: virus" in outcome(stack, "virus")
            assert command(stack, "quarantine", "release", row["entry"]) == "released 1 recipient\n"
            until(lambda: "delivered" in outcome(stack, "virus"))
            assert "scanned=clamav quarantine" in outcome(stack, "virus")
            assert command(stack, "quarantine", "list") == "the quarantine is empty\n"
            command(stack, "quarantine", "delete", "--to", BOB, status=2)

            (data / "filters").mkdir()  # noticed while the stack runs
            (data / "filters" / "sort.py").write_text(FILTER)
            until(lambda: "sort" in command(stack, "filters", "status"))
            send(stack, "sort")
            until(lambda: "mailbox=Sorted" in outcome(stack, "sort"))
            assert "filter=python sort" in outcome(stack, "sort")
            send(stack, "boom")
            until(lambda: "mailbox=INBOX" in outcome(stack, "boom"))
            until(lambda: "line 6: ValueError: boom" in command(stack, "filters", "status", "--json").replace('"', "")
                  or "ValueError: boom" in command(stack, "filters", "status", "--json"))  # fmt: skip
            view = json.loads(command(stack, "filters", "status", "--json"))
            assert (view["name"], view["line"], view["failures"]) == ("sort", 6, 1)

            (data / "filters" / "sort.py").write_text("import nothing_like_that\n")
            until(lambda: json.loads(command(stack, "filters", "status", "--json"))["loading_line"] == 1)
            assert "ModuleNotFoundError" in command(stack, "filters", "status", status=1)
            send(stack, "sort-again")
            until(lambda: "mailbox=Sorted" in outcome(stack, "sort-again"))  # the state before goes on working
            replayed = command(
                stack, "filters", "replay", "--since", "1h", "--all", "deploy/filters/10-subject-to-folder.py"
            )
            assert "0 would change" not in replayed


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[rspamd\n", "scanners.toml: "),
        ('[x]\ntype = "virus"\n', "[x] type: one of rspamd, clamav, spamassassin, milter, command"),
        ('[clamav]\naddress = "nowhere"\n', "[clamav] address: an address is HOST:PORT or the path of a socket"),
        ('[clamav]\ncolour = "red"\n', "[clamav] colour: Extra inputs are not permitted"),
        ('[m]\ntype = "milter"\naddress = "h:1"\nat = "mda"\n', "[m] at: a milter is part of the SMTP session"),
    ],
)
def test_a_mistake_in_the_scanners_file_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "scanners.toml").write_text(text)
    done = subprocess.run(
        [str(PACKETBOAT), "mta", "--data", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PACKETBOAT_DATABASE_URL": f"sqlite:///{tmp_path}/x.db", "PATH": "/usr/bin:/bin"},
    )
    assert said in done.stderr
    assert done.returncode == 78
    assert len([line for line in done.stderr.splitlines() if line.startswith("packetboat")]) == 1
    assert "Traceback" not in done.stderr
