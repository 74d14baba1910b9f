"""The directory: where an address leads, and who may log in.

Alias rows win over an account of the same address, as in Postfix; an alias that names itself
among its targets keeps a copy. Answers for RCPT are cached for a few seconds in the process;
a login always reads the stored hash, so a changed password counts at once on every replica.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from shared.address import Address, AddressError, parse_address
from shared.db import Database, Rows, Work, load
from shared.directory import passwords, salts, srs
from shared.directory.model import Account, Domain, Expansion, Verdict
from shared.directory.verified import VerifiedPasswords
from shared.errors import TemporaryFailure
from shared.sasl.scram import Algorithm, Verifier, decoy

MAX_DEPTH = 10  # aliases of aliases
MAX_TARGETS = 1000  # of one address, all told
CACHE_SECONDS = 5.0
CACHE_SIZE = 20_000
LOGIN_NOTES_SIZE = 10_000
LOGIN_NOTE_SECONDS = 600.0  # between two notes of when an account logged in
HASHING_THREADS = 4  # 19 MiB each
SRS_KEY_SECONDS = 60.0  # that the key which signs reverse-paths is used again
SRS_SENDER_SECONDS = 3600.0  # between two notes that a long sender is in use

sql = load("directory")
V = TypeVar("V")


class Directory:
    """Look-ups over SQL; one per process."""

    def __init__(
        self,
        database: Database,
        *,
        algorithms: Sequence[Algorithm] = (Algorithm.SHA_256,),
        verified: VerifiedPasswords | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep SCRAM verifiers of these algorithms for passwords that are seen; `verified` is shared by processes."""
        self._database = database
        self._algorithms = tuple(algorithms)
        self._salts = b""
        self._verdicts: _Cache[Verdict] = _Cache(CACHE_SIZE, CACHE_SECONDS, clock)
        self._verified = VerifiedPasswords(clock) if verified is None else verified
        self._noted: _Cache[bool] = _Cache(LOGIN_NOTES_SIZE, LOGIN_NOTE_SECONDS, clock)
        self._srs_key: _Cache[bytes] = _Cache(1, SRS_KEY_SECONDS, clock)
        self._srs_senders: _Cache[bool] = _Cache(CACHE_SIZE, SRS_SENDER_SECONDS, clock)
        self._hashing = asyncio.Semaphore(HASHING_THREADS)

    async def verify(self, address: Address) -> Verdict:
        """Say what a RCPT of this address deserves; DatabaseUnavailable when SQL can't say."""
        key = address.key
        cached = self._verdicts.get(key)
        if cached is not None:
            return cached
        verdict = await self._database.read(_verify, address)
        self._verdicts.put(key, verdict)
        return verdict

    def verified(self, address: Address) -> Verdict | None:
        """Return what `verify` said a few seconds ago, None if it has to be asked."""
        return self._verdicts.get(address.key)

    async def is_local_domain(self, domain: str) -> bool:
        """Whether mail for a domain stays here."""
        probe = Address("postmaster", domain)
        return await self.verify(probe) is not Verdict.NOT_LOCAL

    async def expand(self, address: Address) -> Expansion:
        """Follow aliases, forwards, domain aliases and the catch-all to the end."""
        return await self._database.read(_expand, address)

    async def account(self, address: str) -> Account | None:
        """Return the account of exactly this address, whatever its case."""
        return await self._database.read(_account, address.lower())

    async def account_by_id(self, account_id: int) -> Account | None:
        """Return an account by its id."""
        return await self._database.read(_account_by_id, account_id)

    async def may_send_as(self, account: Account, address: Address) -> bool:
        """Whoever receives an address's mail owns it and may send as it."""
        if address.key == account.address or address.without_tag().key == account.address:
            return True
        expansion = await self.expand(address)
        return any(owner.id == account.id for owner in expansion.accounts)

    async def return_path(self, sender: Address, domain: str) -> Address:
        """Return the reverse-path of mail that `domain` of ours sends on: rewritten (SRS) unless it is ours itself.

        One that would be too long rewritten is stored.
        """
        if await self.is_local_domain(sender.domain):
            return sender
        key = self._srs_key.get("")
        if key is None:
            key = await self._database.write(srs.newest_key, os.urandom(32), time.time_ns() // 1000)
            self._srs_key.put("", key)
        rewritten = srs.rewrite(sender, domain, key, time.time())
        if rewritten is not None:
            return rewritten
        token = srs.token_of(sender)
        if self._srs_senders.get(token) is None:
            await self._database.write(srs.keep, token, str(sender), time.time_ns() // 1000)
            self._srs_senders.put(token, True)
        return srs.rewrite_stored(token, domain, key, time.time())

    async def authenticate(self, login: str, password: str) -> Account | None:
        """Check a password against the account's credentials; None if it is wrong or may not log in."""
        rows = await self._database.read(_credentials, login.lower())
        for row in rows:
            if await self._matches(row["address"], row["id"], row["hash"], password):
                account = Account.from_row(row, "account_id")
                if not account.enabled:
                    return None
                await self._note_login(account)
                return account
        if not rows:
            await self._hash(passwords.verify_password, passwords.decoy(), password)
        return None

    async def _note_login(self, account: Account) -> None:
        """Keep when an account logged in last; once in a while, so that it costs busy clients nothing."""
        if self._noted.get(str(account.id)):
            return
        self._noted.put(str(account.id), True)
        with suppress(TemporaryFailure):  # no reason to refuse anybody
            await self._database.write_relaxed(_note_login, account.id, time.time_ns() // 1000)

    async def _matches(self, login: str, credential: int, stored: str, password: str) -> bool:
        if self._verified.knows(stored, password):
            return True
        matches = await self._hash(passwords.verify_password, stored, password)
        if matches:
            self._verified.add(stored, password)
            await self._upgrade(login, credential, stored, password)
        return matches

    async def _upgrade(self, login: str, credential: int, stored: str, password: str) -> None:
        if passwords.needs_upgrade(stored, self._algorithms):
            salt = await self._salt(login)
            fresh = await self._hash(passwords.hash_password, password, salt, self._algorithms)
            await self._database.write(_upgrade, credential, stored, fresh)
            self._verified.add(fresh, password)

    async def verifiers(self, login: str, algorithm: str) -> list[tuple[int, Verifier]]:
        """Return what proofs of a name are tried against, by credential; a decoy where there is nothing."""
        rows = await self._database.read(_credentials, login.lower())
        found = [
            (int(row["id"]), verifier)
            for row in rows
            for verifier in passwords.verifiers_of(row["hash"])
            if verifier.algorithm.value[0] == algorithm
        ]
        wanted = next(one for one in Algorithm if one.value[0] == algorithm)
        return found or [(0, decoy(wanted, await self._salt(login)))]

    async def proven(self, credential: int) -> Account | None:
        """Return the account of a credential that a client has proven to know; None if it may not log in."""
        rows = await self._database.read(_credential, credential)
        account = Account.from_row(rows[0], "account_id") if rows else None
        if account is None or not account.enabled:
            return None
        await self._note_login(account)
        return account

    async def _salt(self, login: str) -> bytes:
        if not self._salts:
            self._salts = await self._database.write(salts.secret, os.urandom(32))
        return salts.salt_of(self._salts, login)

    async def _hash(self, function: Callable[..., V], *args: Any) -> V:
        async with self._hashing:
            return await asyncio.to_thread(function, *args)


def _verify(address: Address) -> Work[Verdict]:
    domain = yield from find_domain(address.domain)
    if domain is None:
        return Verdict.NOT_LOCAL
    expansion = yield from _expand(address)
    if expansion.forwards or any(a.enabled and not a.is_full for a in expansion.accounts):
        return Verdict.LOCAL
    if not expansion.accounts:
        return Verdict.UNKNOWN
    return Verdict.OVER_QUOTA if any(a.enabled for a in expansion.accounts) else Verdict.DISABLED


@dataclass(slots=True)
class _Walk:
    """What an expansion has found so far."""

    accounts: dict[int, Account] = field(default_factory=dict)
    forwards: dict[str, Address] = field(default_factory=dict)
    unknown: dict[str, Address] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    cut: bool = False

    @property
    def full(self) -> bool:
        return len(self.accounts) + len(self.forwards) >= MAX_TARGETS


def _expand(address: Address) -> Work[Expansion]:
    walk = _Walk()
    yield from _follow(walk, address, 0)
    return Expansion(
        tuple(walk.accounts.values()), tuple(walk.forwards.values()), tuple(walk.unknown.values()), walk.cut
    )


def _follow(walk: _Walk, address: Address, depth: int) -> Work[None]:
    if depth > MAX_DEPTH or walk.full:
        walk.cut = True
        return
    domain = yield from find_domain(address.domain)
    if domain is None:
        walk.forwards[address.key] = address
        return
    if domain.alias_of:
        yield from _follow(walk, Address(address.local, domain.alias_of), depth + 1)
        return
    for candidate in dict.fromkeys((address.key, address.without_tag().key)):
        found = yield from _follow_exact(walk, candidate, depth)
        if found:
            return
    if srs.is_rewritten(address):
        origin = yield from srs.returning(address)
        if origin is not None:
            yield from _follow(walk, origin, depth + 1)
            return
    target = yield from _fallback(domain, address)
    if target and target not in walk.seen:
        walk.seen.add(target)
        yield from _follow(walk, parse_address(target), depth + 1)
    elif not target:
        walk.unknown[address.key] = address


def _follow_exact(walk: _Walk, key: str, depth: int) -> Work[bool]:
    """Follow an alias or account of exactly this address; return whether there is one."""
    targets = yield sql.alias_targets(address=key)
    looped = key in walk.seen
    if targets and not looped:
        walk.seen.add(key)
        for row in targets:
            yield from _follow(walk, parse_address(row["target"]), depth + 1)
        return True
    rows = yield sql.account_by_address(address=key)
    if rows:
        walk.accounts[rows[0]["id"]] = Account.from_row(rows[0])
    elif looped:
        walk.cut = True
    return bool(rows) or looped


def _fallback(domain: Domain, address: Address) -> Work[str]:
    """Return where an unknown local part goes: postmaster's mail (RFC 5321 §4.5.1) or the catch-all."""
    if address.local.lower() == "postmaster":
        if domain.postmaster:
            return domain.postmaster
        rows = yield sql.first_account(domain_id=domain.id)
        if rows:
            return str(rows[0]["address"])
    return domain.catchall


def find_domain(name: str) -> Work[Domain | None]:
    """Return our domain of this name (lower case A-labels)."""
    rows = yield sql.domain_by_name(name=name)
    return Domain.from_row(rows[0]) if rows else None


def _account(address: str) -> Work[Account | None]:
    rows = yield sql.account_by_address(address=address)
    return Account.from_row(rows[0]) if rows else None


def _account_by_id(account_id: int) -> Work[Account | None]:
    rows = yield sql.account_by_id(id=account_id)
    return Account.from_row(rows[0]) if rows else None


def _credentials(login: str) -> Work[Rows]:
    try:
        key = parse_address(login).key
    except AddressError:
        return []
    rows = yield sql.credentials(address=key)
    return rows


def _note_login(account: int, now: int) -> Work[None]:
    rows = yield sql.account_by_id(id=account)
    if rows:
        yield sql.note_login(account_id=account, at=now)


def _credential(credential: int) -> Work[Rows]:
    rows = yield sql.credential(id=credential)
    return rows


def _upgrade(credential: int, old: str, fresh: str) -> Work[None]:
    yield sql.upgrade_credential(id=credential, old=old, hash=fresh)


class _Cache(Generic[V]):
    """A bounded cache whose entries live for a fixed time."""

    def __init__(self, size: int, seconds: float, clock: Callable[[], float]) -> None:
        self._size, self._seconds, self._clock = size, seconds, clock
        self._entries: OrderedDict[str, tuple[float, V]] = OrderedDict()

    def get(self, key: str) -> V | None:
        entry = self._entries.get(key)
        if entry is None or entry[0] < self._clock():
            return None
        return entry[1]

    def put(self, key: str, value: V) -> None:
        self._entries[key] = (self._clock() + self._seconds, value)
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)
