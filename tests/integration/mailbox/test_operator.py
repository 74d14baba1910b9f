"""The operator's hand on mailboxes: what it does, refuses, and writes into the audit log."""

from __future__ import annotations

import orjson
import pytest

from shared.errors import ConfigurationError
from shared.mailbox.errors import NoSuchMailbox
from shared.operations import mailboxes
from shared.operations.actor import Actor

ME, ALICE = Actor("cli:me"), "u0@a.test"


async def test_making_renaming_and_deleting(world):
    write = world.database.write
    made = await write(mailboxes.create, ME, ALICE, "Work/Boat", ["\\archive", "\\Junk"], 1)
    assert made.accounts == {world.account}
    assert (await world.mailboxes.get(world.account, "Work/Boat")).special_use == "\\Archive \\Junk"
    await write(mailboxes.rename, ME, ALICE, "Work", "Ships", 2)
    await write(mailboxes.delete, ME, ALICE, "Ships/Boat", 3)
    listed = await world.database.read(mailboxes.listing, ME, ALICE)
    assert "Ships" in [entry["name"] for entry in listed] and "Ships/Boat" not in [entry["name"] for entry in listed]
    rows = await world.query("SELECT actor, action, object, before, after FROM audit ORDER BY id")
    assert [(row["actor"], row["action"], row["object"]) for row in rows] == [
        ("cli:me", "mailbox.create", "u0@a.test Work/Boat"),
        ("cli:me", "mailbox.rename", "u0@a.test Work"),
        ("cli:me", "mailbox.delete", "u0@a.test Ships/Boat"),
    ]
    states = [(orjson.loads(row["before"]), orjson.loads(row["after"])) for row in rows]
    boat = {"messages": 0, "special_use": "\\Archive \\Junk"}
    assert states == [(None, boat), (None, {"messages": 0, "special_use": ""}), (boat, None)]


async def test_sharing(world):
    write, read = world.database.write, world.database.read
    for who, rights in [("U1@a.test", "lrc"), ("u1@a.test", "-x"), ("-anyone", "w"), ("team@a.test", "+s")]:
        await write(mailboxes.share, ME, ALICE, "INBOX", who, rights, 1)
    assert sorted(map(_pair, await read(mailboxes.entries, ME, ALICE, "INBOX"))) == [
        ("-anyone", "w"),
        ("team@a.test", "s"),
        ("u0@a.test", "lrswipkxtea"),
        ("u1@a.test", "lrk"),
    ]
    await write(mailboxes.share, ME, ALICE, "INBOX", "-anyone", "", 1)
    assert "-anyone" not in dict(map(_pair, await read(mailboxes.entries, ME, ALICE, "INBOX")))
    rows = await world.query("SELECT before, after FROM audit ORDER BY id DESC LIMIT 1")
    assert (rows[0]["before"], rows[0]["after"]) == ('"w"', "null")


def _pair(entry):
    return entry["identifier"], entry["rights"]


async def test_mistakes(world):
    write = world.database.write
    for who, rights in [("u0@a.test", "l"), ("bob", "l"), ("u1@a.test", "lq")]:
        with pytest.raises(mailboxes.Unusable):
            await write(mailboxes.share, ME, ALICE, "INBOX", who, rights, 1)
    with pytest.raises(NoSuchMailbox):
        await write(mailboxes.share, ME, ALICE, "Nothing", "u1@a.test", "l", 1)
    with pytest.raises(mailboxes.Unusable):
        await write(mailboxes.create, ME, ALICE, "a//b", [], 1)
    with pytest.raises(mailboxes.Unusable):
        await write(mailboxes.create, ME, ALICE, "a", ["\\All"], 1)
    with pytest.raises(ConfigurationError):
        await write(mailboxes.delete, ME, "nobody@a.test", "a", 1)
    assert await world.query("SELECT * FROM audit") == []
