"""What an operator asks and does about users' mail: quarantine, Sieve scripts, retention, targets, sharing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from shared.db import Work
from shared.operations import clock, kept_scripts, mailboxes, quarantine, retention, targets
from shared.operations.actor import Actor
from shared.operations.condition import ANY, Condition
from shared.operations.directory import own_account
from shared.operations.kept_scripts import Change, Whose
from shared.operations.mailboxes import Made
from shared.operations.once import Once, once
from shared.operations.paging import Page, check_limit, decode_cursor, encode_cursor
from shared.operations.quarantine import Kept
from shared.operations.targets import Target
from shared.queue.notify import Publisher

if TYPE_CHECKING:
    from shared.operations.operator import Office

View = dict[str, Any]


class MailOperator:
    """One actor's hands on mail; `Operator.mail` has it."""

    def __init__(self, office: Office, actor: Actor) -> None:
        self._office = office
        self._actor = actor
        self._database = office.database

    # The quarantine

    async def kept_back(self, wanted: Kept, cursor: str, limit: int) -> Page:
        """Return a page of what is kept back, oldest first."""
        check_limit(limit)
        return await quarantine.page_of_quarantine(self._database, self._actor, wanted, cursor, limit)

    async def show_kept(self, entry: str) -> View:
        """Return a message that is kept back: why, for whom, its header."""
        return await quarantine.show(self._database, self._office.yard.reader, self._actor, entry)

    async def source_of_kept(self, entry: str) -> bytes:
        """Return the whole message."""
        return await quarantine.source(self._database, self._office.yard.reader, self._actor, entry)

    async def release_kept(self, wanted: Kept) -> int:
        """Deliver messages after all; return to how many recipients."""
        return await quarantine.release(self._database, self._office.yard.queue, self._actor, wanted)

    async def delete_kept(self, wanted: Kept) -> int:
        """Throw messages away; return those of how many recipients."""
        return await quarantine.delete(self._database, self._actor, wanted)

    # Sieve scripts

    async def scripts(self, whose: Whose) -> View:
        """Return the scripts of an account, a domain or the system, and what last went wrong."""
        return await kept_scripts.listing(self._database, self._actor, whose)

    async def script(self, whose: Whose, name: str) -> View:
        """Return a script with its content."""
        return await kept_scripts.get(self._database, self._actor, whose, name)

    async def put_script(
        self,
        whose: Whose,
        name: str,
        content: bytes,
        active: bool | None = None,
        condition: Condition = ANY,
        request: Once | None = None,
    ) -> View:
        """Keep a script, in place of one of the same name."""
        return await kept_scripts.put(self._database, self._actor, whose, name, content, active, condition, request)

    async def change_script(self, whose: Whose, name: str, change: Change, condition: Condition = ANY) -> View:
        """Rename a script, or make it the active one, or none."""
        return await kept_scripts.change(self._database, self._actor, whose, name, change, condition)

    async def deactivate_scripts(self, whose: Whose) -> None:
        """Have no script run."""
        await kept_scripts.deactivate(self._database, self._actor, whose)

    async def delete_script(self, whose: Whose, name: str, condition: Condition = ANY) -> None:
        """Delete a script that isn't active."""
        await kept_scripts.delete(self._database, self._actor, whose, name, condition)

    # How long mail stays

    async def rules(self, account: str, cursor: str, limit: int) -> Page:
        """Return a page of retention rules, of one account if it is named."""
        return await self._listed(retention.page_of_rules, account, decode_cursor(cursor, int), limit)

    async def rule(self, account: str, mailbox: str) -> View:
        """Return the rule of an account, or of all, for a mailbox."""
        return await self._database.read(retention.rule, self._actor, account, mailbox)

    async def put_rule(
        self, account: str, mailbox: str, days: int, condition: Condition = ANY, request: Once | None = None
    ) -> View:
        """Set how many days messages stay in a mailbox."""
        return await self._once(request, lambda now: retention.put(self._actor, account, mailbox, days, now, condition))

    async def remove_rule(self, account: str, mailbox: str, condition: Condition = ANY) -> View:
        """Forget a rule."""
        return await self._database.write(retention.remove, self._actor, account, mailbox, clock.now(), condition)

    async def expunged(self, account: str, since: int, mailbox: str) -> list[View]:
        """Return how many messages would come back, by mailbox; `since` in Unix microseconds."""
        return await self._database.read(retention.expunged, self._actor, account, since, mailbox)

    async def undelete(self, account: str, since: int, mailbox: str) -> list[View]:
        """Bring back what was expunged since then; return how many messages, by mailbox."""
        found = await self._database.read(own_account, self._actor, account)
        back = await retention.undelete(
            self._database, self._actor, found.id, found.address, since, clock.now(), mailbox
        )
        await self._wake([found.id])
        return retention.counts(back)

    # Targets

    async def targets(self, cursor: str, limit: int) -> Page:
        """Return a page of the targets that were set."""
        return await self._listed(targets.page_of_targets, decode_cursor(cursor, int), limit)

    async def target(self, whose: str) -> View:
        """Return the target of an account or a domain."""
        return await self._database.read(targets.target_of, self._actor, whose)

    async def put_target(
        self, whose: str, target: Target, condition: Condition = ANY, request: Once | None = None
    ) -> View:
        """Send mail of an account or a domain elsewhere."""
        return await self._once(request, lambda now: targets.put(self._actor, whose, target, now, condition))

    async def remove_target(self, whose: str, condition: Condition = ANY) -> View:
        """Forget the target of an account or a domain."""
        return await self._database.write(targets.remove, self._actor, whose, clock.now(), condition)

    # Mailboxes, and who shares them

    async def mailboxes(self, account: str) -> list[View]:
        """Return the mailboxes of an account."""
        return await self._database.read(mailboxes.listing, self._actor, account)

    async def mailbox(self, account: str, name: str) -> View:
        """Return one of them."""
        return await self._database.read(mailboxes.mailbox, self._actor, account, name)

    async def create_mailbox(
        self, account: str, name: str, uses: Sequence[str] = (), request: Once | None = None
    ) -> View:
        """Create a mailbox and the ones above it that it lacks."""
        return await self._made(lambda now: mailboxes.create(self._actor, account, name, uses, now), request)

    async def rename_mailbox(self, account: str, old: str, new: str, condition: Condition = ANY) -> View:
        """Rename a mailbox with what is below it."""
        return await self._made(lambda now: mailboxes.rename(self._actor, account, old, new, now, condition))

    async def delete_mailbox(self, account: str, name: str, condition: Condition = ANY) -> None:
        """Delete a mailbox with its messages."""
        await self._made(lambda now: mailboxes.delete(self._actor, account, name, now, condition))

    async def rights(self, account: str, mailbox: str) -> list[View]:
        """Return who may do what in a mailbox."""
        return await self._database.read(mailboxes.entries, self._actor, account, mailbox)

    async def share(
        self,
        account: str,
        mailbox: str,
        identifier: str,
        rights: str,
        condition: Condition = ANY,
        request: Once | None = None,
    ) -> View:
        """Set what somebody may do in a mailbox; no rights at all: forget them."""
        return await self._made(
            lambda now: mailboxes.share(self._actor, account, mailbox, identifier, rights, now, condition), request
        )

    # How

    async def _listed(self, work: Callable[..., Work[tuple[list[View], Any]]], *args: Any) -> Page:
        check_limit(args[-1])
        items, end = await self._database.scan(work, self._actor, *args)
        return Page(items, encode_cursor(end))

    async def _once(self, request: Once | None, work: Callable[[int], Work[View]]) -> View:
        now = clock.now()
        return await self._database.write(lambda: once(request, work(now), now))

    async def _made(self, work: Callable[[int], Work[Made]], request: Once | None = None) -> View:
        """Do a change of mailboxes and wake the sessions that may see it, if Redis is there."""
        seen: set[int] = set()

        def told(now: int) -> Work[View]:
            made = yield from work(now)
            seen.update(made.accounts)
            return made.view

        view = await self._once(request, told)
        await self._wake(seen)
        return view

    async def _wake(self, accounts: Iterable[int]) -> None:
        if self._office.yard.queue is not None:
            with contextlib.suppress(RedisError, OSError):
                await Publisher(self._office.yard.queue.redis).publish(accounts)
