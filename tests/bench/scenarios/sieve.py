"""sieve: a script of 20 rules for every account, from the first byte to the last message filed and readable."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from tests.bench.accounts import ACCOUNTS
from tests.bench.corpus import Mail, corpus
from tests.bench.drivers.conversations import Refused
from tests.bench.drivers.imap import ImapReader
from tests.bench.drivers.smtp import send_pipelined
from tests.bench.packetboat import Packetboat
from tests.bench.peers.dovecot import Dovecot, MailFormat
from tests.bench.scenario import Better, Meter, Row, Samples, Scenario, Setting
from tests.bench.scenarios.end_to_end import ARRIVAL_TIMEOUT, MAIL_SIZE, POLL_SECONDS, SESSIONS
from tests.bench.scenarios.sides import PostfixDovecot
from tests.bench.server import Server

SCRIPT = Path(__file__).parents[1] / "scripts" / "twenty.sieve"
FILED = (  # a field that makes a rule true, and where that one files; the others go to Archive, by the last rule
    (b"List-Id: <git.example.org>\r\n", "Lists/git"),
    (b"X-Spam-Score: 9\r\n", "Junk"),
    (b"", "Archive"),
    (b"Auto-Submitted: auto-generated\r\n", "Automatic"),
    (b"", "Archive"),
)


class PigeonholeLmtp(Dovecot):
    """Dovecot that takes mail by LMTP itself: no queue before it."""

    def __init__(self, work: Path, mail_format: MailFormat) -> None:
        super().__init__(work, mail_format, script=SCRIPT)
        self.name += " by LMTP"
        self.smtp = ("127.0.0.1", self.lmtp_port)


def measure(server: Server, setting: Setting) -> Samples:
    """Messages per second until all are in the mailboxes that the script says."""
    mails, expected = _mails(setting.sizes.end_to_end)
    server.reset()
    server.start()
    readers = {address: ImapReader(server.imap, address) for address in ACCOUNTS}
    with Meter(server, setting.work) as meter:
        send_pipelined(server.smtp, mails, ACCOUNTS, SESSIONS, lmtp=isinstance(server, PigeonholeLmtp))
        _wait_for_all(readers, expected)
    for reader in readers.values():
        reader.close()
    server.stop()
    return {"sieve": meter.sample(len(mails) / meter.seconds, work=len(mails))}


def _mails(count: int) -> tuple[list[Mail], Counter[tuple[str, str]]]:
    """The mail, and how many of it each account's mailboxes get."""
    mails: list[Mail] = []
    expected: Counter[tuple[str, str]] = Counter()
    for number, mail in enumerate(corpus(count, MAIL_SIZE, run="sieve")):
        field, mailbox = FILED[number // len(ACCOUNTS) % len(FILED)]
        mails.append(replace(mail, data=field + mail.data))
        expected[ACCOUNTS[number % len(ACCOUNTS)], mailbox] += 1
    return mails, expected


def _wait_for_all(readers: dict[str, ImapReader], expected: Counter[tuple[str, str]]) -> None:
    deadline = time.monotonic() + ARRIVAL_TIMEOUT
    for (address, mailbox), count in _last_first(expected.items()):
        while (found := _count(readers[address], mailbox)) != count:
            if found > count or time.monotonic() > deadline:
                raise AssertionError(f"{found} messages in {mailbox} of {address} instead of {count}")
            time.sleep(POLL_SECONDS)


def _last_first(items: Iterable[tuple[tuple[str, str], int]]) -> list[tuple[tuple[str, str], int]]:
    """What was sent last is asked for first: then few questions load the servers."""
    return list(items)[::-1]


def _count(reader: ImapReader, mailbox: str) -> int:
    try:
        return reader.status(f'"{mailbox}"')
    except Refused:  # it isn't there yet
        return 0


def _ours(setting: Setting, work: Path) -> Packetboat:
    return Packetboat(work, workers=setting.workers, database_url=setting.database_url, script=SCRIPT)


def _postfix(_setting: Setting, work: Path) -> PostfixDovecot:
    return PostfixDovecot(work, MailFormat.MDBOX, script=SCRIPT)


def _lmtp_mdbox(_setting: Setting, work: Path) -> Dovecot:
    return PigeonholeLmtp(work, MailFormat.MDBOX)


def _lmtp_maildir(_setting: Setting, work: Path) -> Dovecot:
    return PigeonholeLmtp(work, MailFormat.MAILDIR)


SCENARIOS = (
    Scenario(
        name="sieve",
        title="a Sieve script of 20 rules for each of 100 accounts, to the last message filed",
        rows=(Row("sieve", "messages/s", Better.HIGHER, 2.0),),
        ours=_ours,
        peers={
            "dovecot + pigeonhole by LMTP, mdbox": _lmtp_mdbox,
            "dovecot + pigeonhole by LMTP, maildir": _lmtp_maildir,
            "postfix + dovecot + pigeonhole": _postfix,
        },
        measure=measure,
    ),
)
