"""Deliveries outside the store: into a Maildir or an mbox, to an LMTP server, to a command.

Each returns what the ledger keeps of it, or raises a TemporaryFailure or a PermanentFailure.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from services.mda.children import without_success
from services.mda.lmtp import Lines
from shared.errors import PermanentFailure, TemporaryFailure
from shared.mailbox import maildir, mbox
from shared.message.compose import return_path_header
from shared.message.envelope import Envelope
from shared.message.header import find_header_end
from shared.operations.targets import Target, Way
from shared.program import converse
from shared.smtp.transaction import Target as Rcpt
from shared.smtp.transaction import Transaction

THREADS = 8  # deliveries to files at a time; on a file system that hangs they are all that is lost
MAX_REASON = 200  # characters
EX_TEMPFAIL = 75
STATUSES = {64: "5.3.5", 65: "5.6.0", 66: "5.1.1", 67: "5.1.1", 68: "5.1.2", 77: "5.7.1", 78: "5.3.5"}  # sysexits.h


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message for one account; `message` is the record's octets, `repeated` says that it may have come before."""

    envelope: Envelope
    address: str
    message: bytes
    repeated: bool

    @property
    def whole(self) -> bytes:
        """The message as its recipient has it (RFC 5321 §4.4)."""
        return return_path_header(self.envelope.sender) + self.message

    @property
    def date(self) -> int:
        """When it was accepted, Unix seconds."""
        return self.envelope.received_at // 1_000_000


class External:
    """Delivers; one per process."""

    def __init__(self, hostname: str) -> None:
        self._hostname = hostname
        self._lines = Lines(hostname)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="target")

    async def deliver(self, target: Target, parcel: Parcel) -> str:
        """Deliver within the target's time; TemporaryFailure, PermanentFailure."""
        try:
            async with asyncio.timeout(target.seconds):
                match target.way:
                    case Way.MAILDIR:
                        return await self._in_thread(lambda: _to_maildir(target, parcel, self._hostname))
                    case Way.MBOX:
                        return await self._in_thread(lambda: _to_mbox(target, parcel))
                    case Way.LMTP:
                        return await self._to_lmtp(target, parcel)
                    case Way.COMMAND:
                        return await _to_command(target, parcel)
                    case Way.STORE:
                        raise AssertionError("the store is no external target")
        except TimeoutError:
            raise TemporaryFailure(f"{target} took over {target.seconds} s", status="4.4.7") from None
        except OSError as error:
            raise TemporaryFailure(f"{target}: {error.strerror or error}", status="4.3.0") from None

    def close(self) -> None:
        """Wait for no thread: what hangs may hang for ever."""
        self._lines.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, work: Callable[[], str]) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _to_lmtp(self, target: Target, parcel: Parcel) -> str:
        host, port = target.endpoint
        envelope, message = parcel.envelope, parcel.message
        [recipient] = envelope.recipients
        header = message[: find_header_end(message)]
        transaction = Transaction(
            sender=envelope.sender,
            # that it was handed over we report ourselves; what becomes of it there, they do
            targets=(Rcpt(parcel.address, recipient.orcpt, without_success(recipient.notify)),),
            size=len(message),
            eight_bit=not message.isascii(),
            smtputf8=envelope.smtputf8 and not header.isascii(),
        )
        return str(await self._lines.send(host, port, transaction, message))


def _to_maildir(target: Target, parcel: Parcel, hostname: str) -> str:
    """The name follows from the entry: a repeat takes the place of what was there before."""
    folder = maildir.folder_path(target.path(parcel.address), parcel.envelope.mailbox)
    maildir.make(folder)
    unique = f"{parcel.date}.{parcel.envelope.id}.{hostname.replace('/', '_').replace(':', '_')}"
    before = maildir.find(folder, unique) if parcel.repeated else None
    return str(maildir.deliver(folder, unique, maildir.to_unix(parcel.whole), before=before))


def _to_mbox(target: Target, parcel: Parcel) -> str:
    path = target.path(parcel.address)
    sender, token = parcel.envelope.sender, parcel.envelope.id
    fresh = mbox.deliver(path, sender, parcel.whole, token=token, date=parcel.date, repeated=parcel.repeated)
    return str(path) if fresh else f"{path} (it was there)"


async def _to_command(target: Target, parcel: Parcel) -> str:
    words = target.command(parcel.address)
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=_environment(parcel),
        start_new_session=True,
    )
    status, said = await converse(process, _pieces(parcel.whole))
    return _judged(words[0], status, said.decode("utf-8", "replace").strip().partition("\n")[0][:MAX_REASON])


def _judged(program: str, status: int, said: str) -> str:
    """What exit statuses mean (sysexits.h): all but 75 and signals is for good, as for Postfix's pipe."""
    if status == 0:
        return f"{program}: {said}" if said else program
    if status in (EX_TEMPFAIL, 126, 127) or status < 0:
        ended = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
        raise TemporaryFailure(f"{program}: {ended} {said}".rstrip(), status="4.3.0")
    raise PermanentFailure(said or f"exit status {status}", code=554, status=STATUSES.get(status, "5.3.0"))


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    yield data


def _environment(parcel: Parcel) -> Mapping[str, str]:
    envelope = parcel.envelope
    facts = {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "ENTRY": envelope.id,
        "SENDER": envelope.sender,
        "RECIPIENT": parcel.address,
        "MAILBOX": envelope.mailbox,
    }
    return {name: value.replace("\0", "") for name, value in facts.items()}
