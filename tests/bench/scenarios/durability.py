"""After an accept or end-to-end run: SIGKILL everything, wipe Redis, recover, and find every 250 again."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable

from tests.bench.drivers.imap import ImapReader
from tests.bench.packetboat import Packetboat
from tests.bench.peers.postfix import Postfix
from tests.bench.scenarios.sides import PostfixDovecot
from tests.bench.server import Endpoint, Server

RECOVERY_TIMEOUT = 120.0  # seconds until a wiped stack has delivered everything
POLL_SECONDS = 0.05
_MESSAGE_ID = re.compile(rb"(?im)^Message-ID:[ \t]*(<[^>]+>)")


class MailLost(AssertionError):
    """Fewer messages than were acknowledged survived."""


def require_survival(server: Server, accounts: Iterable[str], acknowledged: int) -> dict[str, int]:
    """Kill the server, recover, and compare with the number of 250s; it is stopped afterwards.

    Raises MailLost unless exactly as many different messages are there.
    """
    match server:
        case Packetboat():
            survived, distinct = _recover_ours(server, list(accounts), acknowledged)
        case Postfix():
            server.kill()
            survived = distinct = server.queued("hold")
        case PostfixDovecot():
            server.kill()
            server.start()
            survived, distinct = _count(server.imap, list(accounts))
            server.stop()
        case _:
            raise TypeError(f"no recovery known for {server.name}")
    if survived != acknowledged or distinct != acknowledged:
        raise MailLost(f"{server.name}: {acknowledged} acknowledged, {survived} there, {distinct} different")
    return {"survived_sigkill": survived}


def _recover_ours(server: Packetboat, accounts: list[str], acknowledged: int) -> tuple[int, int]:
    server.kill()
    server.wipe_redis()
    server.start_recovery()
    wait_for_messages(server.imap, accounts, acknowledged, RECOVERY_TIMEOUT)
    found = _count(server.imap, accounts)
    server.stop()
    return found


def wait_for_messages(endpoint: Endpoint, accounts: list[str], total: int, timeout: float) -> None:
    """Return once the INBOXes hold `total` messages together, or when the time is up."""
    readers = [ImapReader(endpoint, address) for address in accounts]
    deadline = time.monotonic() + timeout
    while sum(reader.status("INBOX") for reader in readers) < total and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    for reader in readers:
        reader.close()


def _count(endpoint: Endpoint, accounts: list[str]) -> tuple[int, int]:
    """Messages in all INBOXes, and how many different Message-Ids they have."""
    total = 0
    different: set[bytes] = set()
    for address in accounts:
        reader = ImapReader(endpoint, address)
        messages = reader.select("INBOX")
        if messages:
            reader.command(b"FETCH 1:* (BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")
            different.update(_MESSAGE_ID.findall(reader.reply))
        total += messages
        reader.close()
    return total, len(different)
