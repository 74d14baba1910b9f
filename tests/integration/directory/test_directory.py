"""Where addresses lead and who may log in, on both engines."""

from __future__ import annotations

import pytest

from shared.address import parse_address
from shared.db import Database
from shared.directory import Directory, Verdict, admin
from shared.directory.passwords import hash_password, import_hash
from shared.errors import ConfigurationError

NOW = 1_800_000_000_000_000
HASH = hash_password("secret")


@pytest.fixture
async def directory(database: Database) -> Directory:
    await database.write(admin.add_domain, "a.test", NOW)
    await database.write(admin.add_domain, "alias.test", NOW, "a.test")
    for name in ("alice", "bob", "carol"):
        await database.write(admin.add_account, f"{name}@a.test", HASH, NOW)
    return Directory(database)


async def leads_to(directory: Directory, address: str) -> set[str]:
    expansion = await directory.expand(parse_address(address))
    return {a.address for a in expansion.accounts} | {str(f) for f in expansion.forwards}


async def verdict(directory: Directory, address: str) -> Verdict:
    return await directory.verify(parse_address(address))


async def test_accounts_tags_case_and_domain_aliases(directory: Directory) -> None:
    for address in ("alice@a.test", "ALICE@A.test", "alice+tag@a.test", "alice@alias.test", "alice+x@alias.test"):
        assert await leads_to(directory, address) == {"alice@a.test"}
        assert await verdict(directory, address) is Verdict.LOCAL
    assert await verdict(directory, "nobody@a.test") is Verdict.UNKNOWN
    assert await verdict(directory, "alice@elsewhere.test") is Verdict.NOT_LOCAL


async def test_postmaster_is_always_there(directory: Directory, database: Database) -> None:
    assert await leads_to(directory, "Postmaster@a.test") == {"alice@a.test"}
    await database.write(admin.set_postmaster, "a.test", "bob@a.test")
    assert await leads_to(directory, "postmaster@a.test") == {"bob@a.test"}


async def test_aliases_forward_loop_and_keep_a_copy(directory: Directory, database: Database) -> None:
    await database.write(admin.add_alias, "all@a.test", ["alice@a.test", "team@a.test", "x@far.test"], NOW)
    await database.write(admin.add_alias, "team@a.test", ["bob@a.test", "all@a.test"], NOW)
    await database.write(admin.add_alias, "carol@a.test", ["carol@a.test", "bob@a.test"], NOW)
    await database.write(admin.add_alias, "loop1@a.test", ["loop2@a.test"], NOW)
    await database.write(admin.add_alias, "loop2@a.test", ["loop1@a.test"], NOW)
    assert await leads_to(directory, "all@a.test") == {"alice@a.test", "bob@a.test", "x@far.test"}
    assert await leads_to(directory, "carol@a.test") == {"carol@a.test", "bob@a.test"}
    expansion = await directory.expand(parse_address("loop1@a.test"))
    assert expansion.cut and not expansion.accounts
    assert await verdict(directory, "loop1@a.test") is Verdict.UNKNOWN


async def test_catch_all(directory: Directory, database: Database) -> None:
    await database.write(admin.add_alias, "@a.test", ["carol@a.test"], NOW)
    assert await leads_to(directory, "anything@a.test") == {"carol@a.test"}
    assert await leads_to(directory, "anything@alias.test") == {"carol@a.test"}
    assert await database.write(admin.remove_alias, "@a.test") == 1
    assert await leads_to(directory, "other@a.test") == set()


async def test_disabled_and_full_accounts(directory: Directory, database: Database) -> None:
    await database.write(admin.set_enabled, "bob@a.test", False)
    assert await verdict(directory, "bob@a.test") is Verdict.DISABLED
    assert await directory.authenticate("bob@a.test", "secret") is None
    await database.write(admin.set_enabled, "bob@a.test", True)
    account = await directory.authenticate("bob@a.test", "secret")
    assert account is not None and account.address == "bob@a.test"


async def test_a_changed_password_counts_at_once_on_every_replica(directory: Directory, database: Database) -> None:
    other = Directory(database)
    for replica in (directory, other):
        assert await replica.authenticate("Alice@a.test", "secret") is not None
        assert await replica.authenticate("alice@a.test", "secret") is not None  # from the cache
        assert await replica.authenticate("alice@a.test", "wrong") is None
    await database.write(admin.set_password, "alice@a.test", hash_password("fresh"), NOW)
    for replica in (directory, other):
        assert await replica.authenticate("alice@a.test", "secret") is None
        assert await replica.authenticate("alice@a.test", "fresh") is not None


@pytest.mark.parametrize("scheme", ["sha512_crypt", "bcrypt"])
async def test_foreign_hashes_are_verified_and_upgraded(database: Database, directory: Directory, scheme: str) -> None:
    import passlib.hash

    foreign = getattr(passlib.hash, scheme).using(rounds=5000 if scheme == "sha512_crypt" else 4).hash("imported")
    await database.write(admin.add_account, "dave@a.test", import_hash("{SHA512-CRYPT}" + foreign), NOW)
    assert await directory.authenticate("dave@a.test", "wrong") is None
    assert await directory.authenticate("dave@a.test", "imported") is not None

    from shared.directory.directory import sql

    def stored():  # type: ignore[no-untyped-def]
        rows = yield sql.credentials(address="dave@a.test")
        return rows[0]["hash"]

    assert (await database.read(stored)).startswith("$argon2id$")
    assert await directory.authenticate("dave@a.test", "imported") is not None


async def test_whoever_receives_an_addresss_mail_may_send_as_it(directory: Directory, database: Database) -> None:
    await database.write(admin.add_alias, "sales@a.test", ["alice@a.test"], NOW)
    alice = await directory.account("alice@a.test")
    assert alice is not None
    for address in ("alice@a.test", "alice+x@a.test", "sales@a.test", "alice@alias.test", "postmaster@a.test"):
        assert await directory.may_send_as(alice, parse_address(address)), address
    for address in ("bob@a.test", "x@far.test", "nobody@a.test"):
        assert not await directory.may_send_as(alice, parse_address(address)), address


async def test_mistakes_say_what_to_do(directory: Directory, database: Database) -> None:
    mistakes = [
        (admin.add_account, ("alice@a.test", HASH, NOW), "exists already"),
        (admin.add_account, ("x@none.test", HASH, NOW), "packetboat domain add none.test"),
        (admin.add_account, ("x@alias.test", HASH, NOW), "add the account there"),
        (admin.add_account, ("not an address", HASH, NOW), "no mail address"),
        (admin.remove_domain, ("a.test",), "3 accounts, 1 domains"),
        (admin.set_password, ("nobody@a.test", HASH, NOW), "no account"),
        (admin.add_alias, ("@a.test", ["x@a.test", "y@a.test"], NOW), "exactly one target"),
    ]
    for function, arguments, said in mistakes:
        with pytest.raises(ConfigurationError, match=said):
            await database.write(function, *arguments)


async def test_removed_accounts(directory: Directory, database: Database) -> None:
    await database.write(lambda: admin.remove_account("bob@a.test", NOW, purge=False))
    await database.write(lambda: admin.remove_account("carol@a.test", NOW, purge=True))
    fresh = Directory(database)
    assert await verdict(fresh, "bob@a.test") is Verdict.UNKNOWN
    assert await fresh.authenticate("bob@a.test", "secret") is None
    await database.write(admin.add_account, "bob@a.test", HASH, NOW)
    assert [a.address for a in await database.read(admin.list_accounts)] == ["alice@a.test", "bob@a.test"]
