"""Accounts with mailboxes, and messages that refer to a journal which isn't there: only SQL is looked at."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

import pytest

from shared import ids
from shared.db import Database, Rows
from shared.directory import admin
from shared.imap.flags import FlagSet
from shared.journal.reference import Reference
from shared.mailbox.blobs import NewBlob
from shared.mailbox.deliver import deliver
from shared.mailbox.job import Deliver, Job, Result
from shared.mailbox.mailbox import Mailbox
from shared.mailbox.mailboxes import Mailboxes
from shared.mailbox.messages import Appended, Messages
from shared.message.rendered import Rendered, render
from tests.tools import sql

SEGMENT = "2026-11-23/mta-0-" + "0" * 26 + "-1"
MESSAGE = b"From: a@a.test\r\nSubject: x\r\nMessage-ID: <1@a.test>\r\n\r\nhello\r\n"
RENDERED = render(MESSAGE)
NO_FLAGS = FlagSet()
PREFIX = b"Return-Path: <s@a.test>\r\n"


@dataclass
class World:
    """A database with accounts, and what a test does to them."""

    database: Database
    accounts: list[int]
    mailboxes: Mailboxes
    messages: Messages
    offsets: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def account(self) -> int:
        return self.accounts[0]

    def reference(self, size: int = 100, segment: str = SEGMENT) -> Reference:
        offset = next(self.offsets) * 100_000
        return Reference(segment, offset, size + 100, offset + 96, size, size)

    def blob(self, size: int = 100, rendered: Rendered = RENDERED, segment: str = SEGMENT) -> NewBlob:
        return NewBlob(ids.new_id(), self.reference(size, segment), rendered)

    def job(self, account: int | None = None, size: int = 100, mailbox: str = "INBOX", flags: int = 0) -> Job:
        number = self.account if account is None else account
        step = Deliver("to@a.test", f"account-{number}", number, PREFIX, mailbox, flags)
        return Job(self.blob(size), "s@a.test", (step,), 1_700_000_000)

    async def deliver(self, *jobs: Job) -> list[Result]:
        return await self.database.write(deliver, jobs, time.time_ns() // 1000)

    async def append(self, mailbox: Mailbox, flags: FlagSet = NO_FLAGS, size: int = 100) -> Appended:
        blob = self.blob(size)
        return await self.messages.append(
            mailbox.account_id, mailbox.id, blob.entry, blob.reference, blob.rendered, flags, 1_700_000_000
        )

    async def inbox(self, account: int | None = None) -> Mailbox:
        return await self.mailboxes.get(self.account if account is None else account, "INBOX")

    async def uids(self, mailbox_id: int) -> list[int]:
        selected = await self.messages.select(mailbox_id)
        return [uid for low, high in selected.uids for uid in range(low, high + 1)]

    async def query(self, text: str, **values: object) -> Rows:
        return await sql.query(self.database, text, **values)

    async def execute(self, text: str, **values: object) -> None:
        await sql.execute(self.database, text, **values)

    async def check_counts(self) -> None:
        """Compare every mailbox's and account's counts with the rows they count."""
        for row in await self.query("SELECT id, account_id, messages, unseen, deleted, bytes, uidnext FROM mailbox"):
            counted = await self.query(
                "SELECT count(*) AS messages, coalesce(sum(CASE WHEN flags & 1 = 0 THEN 1 ELSE 0 END), 0) AS unseen,"
                " coalesce(sum(CASE WHEN flags & 8 <> 0 THEN 1 ELSE 0 END), 0) AS deleted,"
                " coalesce(sum(size), 0) AS bytes FROM message WHERE mailbox_id = :id AND expunged_at IS NULL",
                id=row["id"],
            )
            want = tuple(int(value) for value in counted[0])
            assert (row["messages"], row["unseen"], row["deleted"], row["bytes"]) == want
            highest = await self.query("SELECT max(uid) AS uid FROM message WHERE mailbox_id = :id", id=row["id"])
            assert row["uidnext"] > (highest[0]["uid"] or 0)
        used = await self.query(
            "SELECT a.used_bytes, a.used_messages, coalesce(sum(b.bytes), 0) AS bytes,"
            " coalesce(sum(b.messages), 0) AS messages FROM account a LEFT JOIN mailbox b ON b.account_id = a.id"
            " GROUP BY a.id, a.used_bytes, a.used_messages"
        )
        for row in used:
            assert (row["used_bytes"], row["used_messages"]) == (int(row["bytes"]), int(row["messages"]))


async def make_world(database: Database, accounts: int = 2, quota: int = 0) -> World:
    now = time.time_ns() // 1000
    await database.write(admin.add_domain, "a.test", now)
    numbers = [await database.write(admin.add_account, f"u{i}@a.test", "x", now, quota) for i in range(accounts)]
    return World(database, numbers, Mailboxes(database), Messages(database))


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    """Two accounts without quota, on SQLite and on PostgreSQL."""
    yield await make_world(database)


def numbers(ranges: Iterable[tuple[int, int]]) -> list[int]:
    return [uid for low, high in ranges for uid in range(low, high + 1)]
