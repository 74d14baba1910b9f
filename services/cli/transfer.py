"""`packetboat import|export maildir|mbox …`: mail from other programs, and for them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from redis.exceptions import RedisError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from services.cli.context import DEFAULT_DATA, DataOption, database_of, settings_for
from shared.config import CommonSettings
from shared.db import Database
from shared.directory import Account
from shared.directory.admin import own_account
from shared.errors import ConfigurationError
from shared.imap.mailbox_name import INBOX, SEPARATOR, canonical
from shared.journal.reader import Reader
from shared.mailbox import maildir, mbox
from shared.mailbox.content import Content
from shared.mailbox.loose import Loose, Unusable, decode_level
from shared.mailbox.mailbox import Mailbox
from shared.mailbox.mailboxes import list_mailboxes
from shared.message.text import printable
from shared.operations.exporting import MBOX_SUFFIX, Exporter, mbox_path
from shared.operations.importing import Importer, Report, describe
from shared.queue.connection import connect as connect_redis
from shared.queue.notify import Publisher
from shared.volume import journal_writer

MAX_SHOWN = 50  # messages whose failure is printed
SUBFOLDER_SUFFIX = ".sbd"  # Thunderbird's folders of mboxes

import_app = typer.Typer(help="Bring mail from other programs; what is there already is passed over.")
export_app = typer.Typer(help="Write an account's mail for other programs; what is there already stays.")

PathArgument = Annotated[Path, typer.Argument(help="The Maildir; for mbox a file, or a folder of files.")]
AccountOption = Annotated[str, typer.Option(help="The account's address.")]
FolderOption = Annotated[str, typer.Option(help="The mailbox that it goes into; of several, the one above them.")]
MailboxOption = Annotated[list[str] | None, typer.Option(help="Only this mailbox; repeatable.")]


@dataclass(frozen=True, slots=True)
class _Source:
    """Messages for one mailbox; `amount` is what their `advance` comes to."""

    mailbox: str
    amount: int
    messages: Callable[[], contextlib.AbstractContextManager[Iterator[Loose | Unusable]]]


def register(app: typer.Typer) -> None:
    """Add the groups."""
    app.add_typer(import_app, name="import", no_args_is_help=True)
    app.add_typer(export_app, name="export", no_args_is_help=True)


@import_app.command("maildir")
def import_maildir(
    path: PathArgument, account: AccountOption, folder: FolderOption = "", data: DataOption = DEFAULT_DATA
) -> None:
    """Import a Maildir with its folders (`.A.B` or nested), flags and keywords; may be repeated or go on."""
    found = maildir.folders(path)
    if not found:
        raise ConfigurationError(f"{path} is no Maildir: it has no folder `cur`, nor have those in it")
    _import(data, account, [_maildir_source(one, _below(folder, one.name)) for one in found])


@import_app.command("mbox")
def import_mbox(
    path: PathArgument, account: AccountOption, folder: FolderOption = "", data: DataOption = DEFAULT_DATA
) -> None:
    """Import an mbox, or a folder of them, with flags and keywords; may be repeated or go on."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file() and mbox.is_mbox(file))
        sources = [_mbox_source(file, _below(folder, _mbox_name(file.relative_to(path)))) for file in files]
    else:
        with path.open("rb"):
            pass  # says what is wrong with the path
        sources = [_mbox_source(path, canonical(folder) or INBOX)] if mbox.is_mbox(path) else []
    if not sources:
        raise ConfigurationError(f"{path}: there is no mbox, a file that begins with `From `")
    _import(data, account, sources)


@export_app.command("maildir")
def export_maildir(
    path: PathArgument, account: AccountOption, mailbox: MailboxOption = None, data: DataOption = DEFAULT_DATA
) -> None:
    """Export into a Maildir++ with flags and keywords; repeated, it adds what is new and tells flags anew."""
    _export(data, account, mailbox, lambda exporter, box: exporter.to_maildir(box, path))


@export_app.command("mbox")
def export_mbox(
    path: PathArgument, account: AccountOption, mailbox: MailboxOption = None, data: DataOption = DEFAULT_DATA
) -> None:
    """Export into a folder of mbox files; repeated, it adds what is new."""
    _export(data, account, mailbox, lambda exporter, box: exporter.to_mbox(box, mbox_path(path, box.name)))


# Sources


def _below(folder: str, name: str) -> str:
    if not folder:
        return name
    return canonical(folder) if name == INBOX else SEPARATOR.join((canonical(folder), name))


def _maildir_source(folder: maildir.Folder, name: str) -> _Source:
    places = maildir.places(folder)

    def messages() -> Iterator[Loose | Unusable]:
        for place in places:
            message = maildir.read(place)
            yield message or Unusable(str(place.path), "it was moved meanwhile: import once more")

    return _Source(name, len(places), lambda: contextlib.nullcontext(messages()))


def _mbox_source(path: Path, name: str) -> _Source:
    return _Source(name, path.stat().st_size, lambda: mbox.reading(path))


def _mbox_name(path: Path) -> str:
    levels = [decode_level(level.removesuffix(SUBFOLDER_SUFFIX)) for level in path.parent.parts]
    return canonical(SEPARATOR.join([*levels, decode_level(path.name.removesuffix(MBOX_SUFFIX))]))


# Work


def _import(data: Path, address: str, sources: list[_Source]) -> None:
    report = _told(_run_import(data, address, sources))
    print(f"{_messages(report.imported)} imported, {report.present} were there, {report.failed} failed")
    if report.without_keywords:
        print(f"{report.without_keywords} without their keywords: their mailbox has as many as it can")
    _finish(report)


def _told(work: Coroutine[Any, Any, Report]) -> Report:
    """Run it; a disk that is full or fails is told like a mistake, for it can be started again."""
    try:
        return asyncio.run(work)
    except OSError as error:
        raise ConfigurationError(f"{error}; what was done is done: run it again to go on") from None


async def _run_import(data: Path, address: str, sources: list[_Source]) -> Report:
    settings = settings_for(data)
    async with database_of(data) as database, _account_of(database, settings, address) as account:
        writer = journal_writer(settings, f"import-{os.getpid()}", lambda error: None)
        await writer.open()
        try:
            with _progress("importing", sum(source.amount for source in sources)) as advance:
                importer = Importer(database, writer, account.id, account.address, clock=time.time, advance=advance)
                for source in sources:
                    await _import_source(importer, source)
        finally:
            await writer.close()
        return importer.report


async def _import_source(importer: Importer, source: _Source) -> None:
    try:
        with source.messages() as messages:
            await importer.bring(source.mailbox, messages)
    except Exception as error:
        reason = describe(error)
        if reason is None:
            raise
        importer.report.fail(f"mailbox {source.mailbox}", reason)


def _export(
    data: Path, address: str, names: list[str] | None, write: Callable[[Exporter, Mailbox], Awaitable[None]]
) -> None:
    report = _told(_run_export(data, address, [canonical(name) for name in names or ()], write))
    print(f"{_messages(report.imported)} exported, {report.present} were there, {report.failed} failed")
    if report.without_keywords:
        print(f"{report.without_keywords} without some keywords: a Maildir has room for 26")
    _finish(report)


async def _run_export(
    data: Path, address: str, names: list[str], write: Callable[[Exporter, Mailbox], Awaitable[None]]
) -> Report:
    settings = settings_for(data)
    async with database_of(data) as database:
        account = await database.read(own_account, address)
        listed = await database.read(list_mailboxes, account.id)
        boxes = [one.mailbox for one in listed if one.mailbox is not None and (not names or one.name in names)]
        missing = set(names) - {box.name for box in boxes}
        if missing:
            raise ConfigurationError(f"{account.address} has no mailbox {', '.join(sorted(missing))}")
        reader = Reader(settings.journal)
        try:
            with _progress("exporting", sum(box.messages for box in boxes)) as advance:
                exporter = Exporter(database, Content(database, reader), advance=advance)
                for box in boxes:
                    await write(exporter, box)
        finally:
            reader.close()
        return exporter.report


@contextlib.asynccontextmanager
async def _account_of(database: Database, settings: CommonSettings, address: str) -> AsyncIterator[Account]:
    """Give an account whose sessions are woken at the end, if Redis is there."""
    account = await database.read(own_account, address)
    try:
        yield account
    finally:
        redis = connect_redis(settings.redis)
        with contextlib.suppress(RedisError, OSError):
            await Publisher(redis).publish([account.id])
        await redis.aclose()


@contextlib.contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal, on standard error; nothing else gets one."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda amount: progress.advance(task, amount)


def _finish(report: Report) -> None:
    """Tell what failed, with exit status 1."""
    for failure in report.failures[:MAX_SHOWN]:
        print(f"{printable(failure.origin)}: {printable(failure.reason)}", file=sys.stderr)
    if report.failed > MAX_SHOWN:
        print(f"… and {report.failed - MAX_SHOWN} more", file=sys.stderr)
    if report.failed:
        raise typer.Exit(1)


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count} messages"
