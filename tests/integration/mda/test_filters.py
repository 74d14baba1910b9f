"""Scanners and Python filters in the MDA: what becomes of messages, and what filters can't do to it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.mda.children import Children
from services.mda.courier import Courier, Limits
from services.mda.expansions import Expansions
from shared.errors import ConfigurationError
from shared.filters.configuration import CommandConfig
from shared.filters.failure import ScanFailed
from shared.filters.folder import FilterFolder
from shared.filters.folder import Limits as FilterLimits
from shared.filters.panel import Panel, down
from shared.filters.parcel import Parcel
from shared.mailbox.quarantine import prune_quarantine
from shared.maillog import MailLog
from shared.message.verdict import Action, Change, HeaderChange, Verdict
from shared.operations import quarantine
from shared.operations.actor import Actor
from shared.operations.quarantine import Kept
from tests.integration.mda.conftest import MESSAGE, Office

VIRUS = Verdict("clamav", Action.QUARANTINE, kind="clamav", virus="Eicar", looked_for_viruses=True)
SPAM = Verdict("rspamd", Action.TAG, kind="rspamd", score=9.0, threshold=6.0, symbols=("BAD(9.00)",))
ACTOR = Actor("cli:test")


class Fixed:
    """A scanner that says what it is told."""

    def __init__(self, verdict: Verdict | Exception) -> None:
        self.verdict = verdict
        self.asked: list[Parcel] = []

    async def scan(self, parcel: Parcel) -> Verdict:
        self.asked.append(parcel)
        if isinstance(self.verdict, Exception):
            raise self.verdict
        return self.verdict

    async def close(self) -> None:
        pass


async def kept_back(office: Office) -> list[dict[str, Any]]:
    return (await quarantine.page_of_quarantine(office.database, ACTOR, Kept(), "", 100)).items


def config(when_down: str = "skip") -> CommandConfig:
    return CommandConfig(name="s", at="mda", command=("/bin/true",), when_down=when_down)


def courier_with(office: Office, panel: Panel | None = None, folder: FilterFolder | None = None) -> Courier:
    office.courier = Courier(
        office.database, office.queue, office.reader, office.writer, office.outbox, Expansions(office.directory),
        Children(office.writer, office.directory, "mx.b.test"), office.woken.extend, MailLog("mda"),
        limits=Limits(isolation=20, stuck=20), panel=panel, folder=folder,
    )  # fmt: skip
    return office.courier


async def test_spam_goes_to_junk_with_fields_that_say_so(office: Office) -> None:
    await office.account("bob")
    scanner = Fixed(replace(SPAM, changes=(HeaderChange(Change.ADD, "X-Spamd-Bar", b"+++++++++"),)))
    courier_with(office, Panel([(config(), scanner)]))
    item = await office.accept("bob")
    await office.work()
    (message,) = await office.inbox("bob", "Junk")
    assert b"\r\nX-Spam-Flag: YES\r\n" in message
    assert b"\r\nX-Spam-Score: 9.00\r\n" in message
    assert b"\r\nX-Spamd-Bar: +++++++++\r\n" in message
    assert await office.inbox("bob") == []
    assert scanner.asked[0].head == MESSAGE
    ((detail,),) = await office.query("SELECT detail FROM ledger WHERE entry = :entry", entry=item.entry)
    assert "rspamd tag 9.00/6.00" in detail


async def test_a_verdict_of_the_mta_counts_without_scanners_here(office: Office) -> None:
    await office.account("bob")
    await office.accept("bob", verdicts=(SPAM,))
    await office.work()
    assert len(await office.inbox("bob", "Junk")) == 1


async def test_a_virus_is_kept_back_until_it_is_released(office: Office) -> None:
    await office.account("bob")
    courier_with(office, Panel([(config(), Fixed(VIRUS))]))
    item = await office.accept("bob")
    await office.work()
    assert await office.inbox("bob") == []
    assert await office.ledger(item.entry) == {}
    (row,) = await kept_back(office)
    assert (row["entry"], row["recipient"], row["reason"]) == (item.entry, "bob@b.test", "clamav: virus Eicar")
    shown = await quarantine.show(office.database, office.reader, ACTOR, item.entry.lower())
    assert "Subject: hello" in shown["header"]
    assert await quarantine.source(office.database, office.reader, ACTOR, item.entry) == MESSAGE
    assert await quarantine.release(office.database, office.queue, ACTOR, Kept.of_entries([item.entry])) == 1
    await office.work()
    assert len(await office.inbox("bob")) == 1
    assert await kept_back(office) == []
    assert await office.query("SELECT 1 FROM pending") == []
    now = 2**62
    await prune_quarantine(office.database, 0, now)
    assert await office.query("SELECT 1 FROM quarantine") == []


async def test_what_is_deleted_or_too_old_is_in_the_ledger(office: Office) -> None:
    await office.account("bob")
    courier_with(office, Panel([(config(), Fixed(VIRUS))]))
    first, second = await office.accept("bob"), await office.accept("bob", "alice")
    await office.work()
    assert await quarantine.delete(office.database, ACTOR, Kept.of_entries([first.entry])) == 1
    assert await office.ledger(first.entry) == {"bob@b.test": "discarded"}
    assert await prune_quarantine(office.database, 2**62, 2**62) == 2
    assert await office.ledger(second.entry) == {"bob@b.test": "discarded", "alice@b.test": "discarded"}
    assert await office.query("SELECT 1 FROM pending") == []
    with pytest.raises(ConfigurationError):
        await quarantine.delete(office.database, ACTOR, Kept.of_entries([first.entry]))


async def test_discard_is_on_record(office: Office) -> None:
    await office.account("bob")
    item = await office.accept("bob", verdicts=(Verdict("m", Action.DISCARD, kind="milter"),))
    await office.work()
    assert await office.ledger(item.entry) == {"bob@b.test": "discarded"}
    assert await office.inbox("bob") == []


@pytest.mark.parametrize("policy", ["skip", "tempfail", "hold"])
async def test_a_scanner_that_is_down_has_its_policy(office: Office, policy: str) -> None:
    await office.account("bob")
    courier_with(office, Panel([(config(policy), Fixed(ScanFailed("away")))]))
    await office.accept("bob")
    await office.work()
    messages, delayed = await office.inbox("bob"), (await office.depth())[2]
    kept = await kept_back(office)
    assert (len(messages), delayed, len(kept)) == {"skip": (1, 0, 0), "tempfail": (0, 1, 0), "hold": (0, 0, 1)}[policy]
    if messages:
        assert b"X-Packetboat-Unscanned: s\r\n" in messages[0]
    assert down(config(policy), "away").failed


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[FilterFolder]:
    path = tmp_path / "filters"
    path.mkdir()
    made = FilterFolder(path, FilterLimits(seconds=2.0), clock=_fast_clock())
    yield made
    await made.close()


def _fast_clock() -> Callable[[], float]:
    """A clock by which files are looked at each time."""
    ticks = iter(range(0, 10_000_000, 2))
    return lambda: float(next(ticks))


HEAD = "from shared.filters.api import Actions, Context, Message\n"


def write(tmp_path: Path, name: str, body: str, before: str = "") -> None:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    path = tmp_path / "filters" / f".{name}"
    path.write_text(f"{HEAD}{before}\nasync def filter(message: Message, context: Context) -> Actions:\n{lines}\n")
    path.rename(tmp_path / "filters" / name)


async def test_a_filter_files_marks_and_adds(office: Office, folder: FilterFolder, tmp_path: Path) -> None:
    await office.account("bob")
    await office.account("alice")
    write(
        tmp_path, "10-file.py",
        'if message.subject == "hello" and context.account == "bob@b.test":\n'
        '    marked = Actions().add_header("X-Seen", "by " + context.sender)\n'
        '    return marked.file_into("Sorted", r"\\Seen", create=True)\n'
        "return Actions()",
    )  # fmt: skip
    write(tmp_path, "20-junk.py", 'return Actions().junk("looks bad", 7.5)')
    courier_with(office, folder=folder)
    item = await office.accept("bob", "alice")
    await office.work()
    (message,) = await office.inbox("bob", "Sorted")
    assert b"\r\nX-Seen: by a@out.test\r\n" in message
    assert len(await office.inbox("alice", "Junk")) == 1
    rows = await office.query("SELECT recipient, detail FROM ledger WHERE entry = :e", e=item.entry)
    assert "python 10-file" in {row["recipient"]: row["detail"] for row in rows}["bob@b.test"]


async def test_a_filter_redirects_rejects_discards_and_keeps_back(
    office: Office, folder: FilterFolder, tmp_path: Path
) -> None:
    for name in ("r", "s", "d", "q"):
        await office.account(name)
    write(
        tmp_path, "a.py",
        "who = context.recipient[0]\n"
        'if who == "r": return Actions().redirect("x@far.test")\n'
        'if who == "s": return Actions().reject("no thanks")\n'
        'if who == "d": return Actions().discard()\n'
        'return Actions().quarantine("strange")',
    )  # fmt: skip
    courier_with(office, folder=folder)
    item = await office.accept("r", "s", "d", "q")
    await office.work()
    ledger = await office.query("SELECT recipient, outcome FROM ledger WHERE entry = :e", e=item.entry)
    assert {row["recipient"]: row["outcome"] for row in ledger} == {
        "r@b.test": "redirected", "s@b.test": "bounced", "d@b.test": "discarded",
    }  # fmt: skip
    (row,) = await kept_back(office)
    assert (row["recipient"], row["scanner"]) == ("q@b.test", "a")
    await quarantine.release(office.database, office.queue, ACTOR, Kept.of_entries([item.entry]))
    await office.work()
    assert len(await office.inbox("q")) == 1


@pytest.mark.parametrize(
    ("body", "error", "policy"),
    [
        ("return 1 / 0", "ZeroDivisionError", "skip"),
        ("return 1 / 0", "ZeroDivisionError", "tempfail"),
        ("return 1 / 0", "ZeroDivisionError", "hold"),
        ("while True: pass", "no answer within", "skip"),
        ("import time; time.sleep(60)", "no answer within", "skip"),
        ("x = []\nwhile True: x.append(' ' * 10_000_000)", "MemoryError", "skip"),
        ("import os; os._exit(3)", "status 3", "skip"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "signal 11", "skip"),
        ("return 5", "not Actions", "skip"),
        ("print('noise' * 100_000); import sys; sys.exit(1)", "ended", "skip"),
        ("return Actions(({'do': 'format the disk'},))", "makes no sense", "skip"),
        ("return Actions(({'do': 'fileinto', 'mailbox': 3},))", "makes no sense", "skip"),
    ],
)
async def test_a_bad_filter_has_its_policy(
    office: Office, folder: FilterFolder, tmp_path: Path, body: str, error: str, policy: str
) -> None:
    await office.account("bob")
    write(tmp_path, "bad.py", body, f'WHEN_FAILING = "{policy}"\n')
    courier_with(office, folder=folder)
    await office.accept("bob")
    await office.work()
    outcome = (
        len(await office.inbox("bob")),
        (await office.depth())[2],
        len(await kept_back(office)),
    )
    assert outcome == {"skip": (1, 0, 0), "tempfail": (0, 1, 0), "hold": (0, 0, 1)}[policy]
    (view,) = folder.views()
    if "makes no sense" not in error:
        assert error in view["error"]
    if "1 / 0" in body:
        assert view["line"] == 5


async def test_a_file_that_changes_is_loaded_and_a_mistake_leaves_what_worked(
    office: Office, folder: FilterFolder, tmp_path: Path
) -> None:
    await office.account("bob")
    write(tmp_path, "f.py", 'return Actions().file_into("One", create=True)')
    courier_with(office, folder=folder)
    await office.accept("bob")
    await office.work()
    write(tmp_path, "f.py", 'return Actions().file_into("Two" create=True)')
    await office.accept("bob")
    await office.work()
    assert len(await office.inbox("bob", "One")) == 2
    (view,) = folder.views()
    assert view["loaded"] and view["loading_line"] == 4 and "SyntaxError" in view["loading_error"]
    write(tmp_path, "f.py", 'return Actions().file_into("Three", create=True)')
    await office.accept("bob")
    await office.work()
    assert len(await office.inbox("bob", "Three")) == 1
    (tmp_path / "filters" / "f.py").unlink()
    await office.accept("bob")
    await office.work()
    assert len(await office.inbox("bob")) == 1


async def test_work_goes_on_while_a_filter_is_reloaded(folder: FilterFolder, tmp_path: Path) -> None:
    write(tmp_path, "f.py", "import asyncio\nawait asyncio.sleep(0.3)\nreturn Actions().discard()")
    (one,) = await folder.filters()
    facts = {"entry": "e", "sender": "", "recipient": "b@b.test", "account": "b@b.test"}
    running = [asyncio.create_task(folder.run(one, facts, MESSAGE)) for _ in range(3)]
    await asyncio.sleep(0.1)
    write(tmp_path, "f.py", "return Actions().keep()")
    await folder.filters()
    assert [action["do"] for (action,) in await asyncio.gather(*running)] == ["discard", "keep", "keep"]


async def test_a_filter_knows_nothing_of_our_settings_and_only_sees_its_accounts(
    office: Office, folder: FilterFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PACKETBOAT_DATABASE_PASSWORD_FILE", "/secret")
    await office.account("bob")
    await office.account("alice")
    write(
        tmp_path, "f.py",
        "import os\n"
        'return Actions().add_header("X-Env", ",".join(n for n in os.environ if n.startswith("PACKETBOAT")) or "none")',
        'ACCOUNTS = ("bob@b.test",)\n',
    )  # fmt: skip
    courier_with(office, folder=folder)
    await office.accept("bob", "alice")
    await office.work()
    assert b"X-Env: none" in (await office.inbox("bob"))[0]
    assert b"X-Env" not in (await office.inbox("alice"))[0]
    assert os.environ["PACKETBOAT_DATABASE_PASSWORD_FILE"] == "/secret"
