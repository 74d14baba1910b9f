"""An IMAP client that does what it likes to two mailboxes, goes away when it likes, and remembers what it knew."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable
from enum import Enum

from tests.tools.imap_client import SAID, Answer, Disconnected, ImapClient, Status, Value, kind_of
from tests.tools.mailbox_model import UNKNOWN, BrokenPromise, MailboxModel

MAILBOXES = ("INBOX", "Archive")
HOST = "127.0.0.1"
SHARED_FLAGS = (b"\\Seen", b"\\Flagged", b"\\Answered", b"$Shared")
MESSAGE = b"From: x@a.test\r\nSubject: appended\r\n\r\nBody.\r\n"
MOST_NAMED = 12  # messages that one command names


class Way(Enum):
    """How a client that comes back brings its model up to date."""

    QRESYNC = "QRESYNC"
    CONDSTORE = "CONDSTORE"
    PLAIN = "plain"


class RandomClient:
    """`models` are what it knows of each mailbox; they outlive its connections."""

    def __init__(self, number: int, ports: list[int], dice: random.Random) -> None:
        self.number = number
        self.own = b"$Own%d" % number  # a keyword that no other client sets or removes
        self.models: dict[str, MailboxModel] = {}
        self.mailbox = MAILBOXES[0]
        self.credentials = ("", "")
        self.most_messages = 100
        self.did: Counter[str] = Counter()
        self.said: deque[bytes] = deque(maxlen=SAID)
        self.imap: ImapClient
        self.is_connected = False
        self.way = Way.PLAIN
        self._ports = ports
        self._dice = dice

    @property
    def model(self) -> MailboxModel:
        """What it knows of the mailbox that is selected."""
        return self.models[self.mailbox]

    def flags_of(self, uid: int) -> frozenset[bytes] | None:
        """The flags of a message as far as it knows."""
        known = self.model.messages.get(uid)
        return None if known is None else known.flags

    def twin(self) -> RandomClient:
        """A client that knows the same and isn't connected."""
        twin = RandomClient(self.number, self._ports, random.Random(self._dice.random()))
        twin.credentials, twin.own = self.credentials, self.own
        twin.models = {name: model.copy() for name, model in self.models.items()}
        return twin

    # Its life

    async def run(self, end: float) -> None:
        """Do things until the end (by the monotonic clock), then stay connected."""
        while not self.is_connected or time.monotonic() < end:
            try:
                if not self.is_connected:
                    await self.come_back(self._dice.choice(MAILBOXES), self._dice.choice(list(Way)))
                await self._do_something()
            except (Disconnected, ConnectionError):  # the replica was killed
                self.did["lost connection"] += 1
                self.vanish()
                await asyncio.sleep(self._dice.uniform(0, 0.5))
            except (BrokenPromise, AssertionError) as error:
                said = b"\n".join(self.said).decode(errors="replace")
                print(f"client {self.number}:\n{said}")
                raise type(error)(f"client {self.number}, {self.way.value}, {self.mailbox}: {error}") from error

    async def _do_something(self) -> None:
        acts: dict[Callable[[], Awaitable[None]], int] = {
            self._store: 30,
            self._store_unchanged: 12,
            self._fetch: 15,
            self._search: 8,
            self._copy: 5,
            self._move: 6,
            self.append: 4,
            self._expunge: 6 + 3 * (len(self.model.uids) > self.most_messages) * 6,
            self._idle: 4,
            self.noop: 8,
            self._go_away_in_the_middle: 2,
            self._leave: 2,
            self._select_other: 2,
        }
        act = self._dice.choices(list(acts), list(acts.values()))[0]
        self.did[act.__name__.strip("_")] += 1
        await act()
        if self.is_connected and self._dice.random() < 0.7:
            await self.fetch_unknown()

    async def come_back(self, mailbox: str, way: Way) -> None:
        """Connect, to any replica, and bring the model of a mailbox up to date."""
        self.imap = await ImapClient.connect(HOST, self._dice.choice(self._ports))
        self.imap.said = self.said
        await self.imap.ok(f"LOGIN {self.credentials[0]} {self.credentials[1]}")
        self.is_connected = True
        if way is not Way.PLAIN:
            await self.imap.ok(f"ENABLE {way.value}")
        self.way = way
        await self._select(mailbox)

    async def go_away(self) -> None:
        """Log out."""
        self.is_connected = False
        await self.imap.close()

    def vanish(self) -> None:
        """Be gone, without a word."""
        if self.is_connected:
            self.is_connected = False
            self.imap.abort()

    # Coming back

    async def _select(self, mailbox: str) -> None:
        self.mailbox = mailbox
        model = self.models.setdefault(mailbox, MailboxModel())
        model.begin_session(condstore=self.way is not Way.PLAIN, qresync=self.way is Way.QRESYNC)
        self.imap.on_response = self._take
        # a client that never knew the mailbox, or that isn't sure of what it knew, can't resynchronise
        way = self.way if model.highest and model.uidvalidity else Way.PLAIN
        self.did[f"resync {way.value}"] += 1
        resync = {Way.QRESYNC: self._by_qresync, Way.CONDSTORE: self._by_condstore, Way.PLAIN: self._by_fetch}
        told = await resync[way](model)
        model.resynced(*told)

    async def _by_qresync(self, model: MailboxModel) -> tuple[int, int, int]:
        known = sorted(model.messages)
        parameter = f"{model.uidvalidity} {model.highest}"
        named = bool(known) and self._dice.random() < 0.5
        if named:
            parameter += " " + ",".join(map(str, known))
        if known and self._dice.random() < 0.5:
            places = sorted(self._dice.sample(range(len(known)), min(5, len(known))))
            numbers, uids = (",".join(map(str, some)) for some in ([n + 1 for n in places], [known[n] for n in places]))
            parameter += f" ({numbers} {uids})"
        answer = await self._ok(f"SELECT {self.mailbox} (QRESYNC ({parameter}))")
        counted = model.counted
        await self._fetch_above(model.known_up_to)
        model.number(sorted(model.messages), later=model.counted - counted)
        return _told(answer)

    async def _fetch_above(self, uid: int) -> None:
        """Fetch what came after all that was known: it may have been counted before, and so isn't news."""
        await self._ok(f"UID FETCH {uid + 1}:* (UID FLAGS MODSEQ)")

    async def _by_condstore(self, model: MailboxModel) -> tuple[int, int, int]:
        answer = await self._ok(f"SELECT {self.mailbox} (CONDSTORE)")
        await self._ok(f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {model.highest})")
        await self._fetch_above(model.known_up_to)
        await self._ok("UID SEARCH ALL")
        return _told(answer)

    async def _by_fetch(self, model: MailboxModel) -> tuple[int, int, int]:
        items = "(FLAGS)" if self.way is Way.PLAIN else "(FLAGS MODSEQ)"
        answer = await self._ok(f"SELECT {self.mailbox}")
        if model.uids:
            await self._ok(f"UID FETCH 1:* {items}")
            await self._ok("UID SEARCH ALL")
        else:
            model.number([])
        return _told(answer)

    # Responses

    def _take(self, response: list[Value] | Status, command: bytes) -> None:
        self.model.take(response, command)
        if command == b"UID SEARCH ALL" and isinstance(response, list) and kind_of(response) == b"SEARCH":
            self.model.number(_found(response))

    async def _ok(self, text: str | bytes, literal: bytes | None = None) -> Answer:
        answer = await self._any(text, literal)
        if answer.status.condition != b"OK":
            raise BrokenPromise(f"{text!r}: {answer.status}")
        return answer

    async def _any(self, text: str | bytes, literal: bytes | None = None) -> Answer:
        answer = await self.imap.command(text, literal)
        if answer.status.condition == b"BAD":
            raise BrokenPromise(f"{text!r}: {answer.status}")
        self.model.completed(answer.status)
        return answer

    # What it does

    async def noop(self) -> None:
        await self._ok("NOOP")

    async def fetch_unknown(self) -> None:
        """Ask for the UIDs and flags of messages that were only counted."""
        model = self.model
        if UNKNOWN in model.uids:
            await self._ok(f"UID FETCH {model.last_before_unknown() + 1}:* ({self._items()})")

    async def append(self, mailbox: str = "") -> None:
        """Add a message to a mailbox, to any unless it is named."""
        flags = " ".join(flag.decode() for flag in self._some(SHARED_FLAGS))
        await self._ok(f"APPEND {mailbox or self._dice.choice(MAILBOXES)} ({flags})", MESSAGE)

    async def idle_until(self, until: Callable[[], bool], seconds: float) -> None:
        """IDLE until something is so."""
        answer = await self.imap.idle(until, seconds)
        self.model.completed(answer.status)

    async def _idle(self) -> None:
        await self.idle_until(lambda: False, self._dice.uniform(0.05, 0.6))

    async def _store(self) -> None:
        """Set or remove flags; with and without SILENT, by UIDs and by numbers."""
        by_uid, names, uids = self._name_messages()
        if not uids:
            return
        add, silent = self._dice.random() < 0.6, self._dice.random() < 0.5
        flags = self._some(SHARED_FLAGS)
        own = self._dice.random() < 0.5
        wanted = (*flags, *((self.own,) if own else ()))
        for uid in uids if own else ():
            self.model.will_change(uid, self.own)
        item = ("+" if add else "-") + "FLAGS" + (".SILENT" if silent else "")
        text = f"{'UID ' * by_uid}STORE {names} {item} ({' '.join(flag.decode() for flag in wanted)})"
        told = await self._watching_flags(text)
        if told is None:  # it was done for those that are still there
            for uid in uids:
                self.model.is_unsure(uid)
            return
        for uid in uids:
            if silent and uid not in told:
                self.model.stored_silently(uid, frozenset(wanted), add=add)
            if own:
                self.model.has_changed(uid, self.own, add)

    async def _watching_flags(self, text: str) -> set[int] | None:
        """Do a STORE; whose FLAGS came with it, or None if it failed for some."""
        tag = self.imap.send(text)
        answer = await self.imap.answer_to(tag, text.encode())
        told = set(self.model.with_flags)
        self.model.completed(answer.status)
        if answer.status.condition == b"BAD":
            raise BrokenPromise(f"{text}: {answer.status}")
        return told if answer.status.condition == b"OK" else None

    async def _store_unchanged(self) -> None:
        """Replace the flags of one message that hasn't changed since: nobody's flag may get lost."""
        model = self.model
        known = [uid for uid, message in model.messages.items() if message.modseq and message.flags is not None]
        if self.way is Way.PLAIN or not known:
            return
        uid = self._dice.choice(known)
        message = model.messages[uid]
        assert message.flags is not None
        flags = message.flags ^ {self._dice.choice(SHARED_FLAGS)}
        names = " ".join(flag.decode() for flag in sorted(flags))
        answer = await self._any(f"UID STORE {uid} (UNCHANGEDSINCE {message.modseq}) FLAGS ({names})")
        self.did["conditional store failed" if answer.status.code.startswith(b"MODIFIED") else "conditional store"] += 1

    async def _fetch(self) -> None:
        by_uid, names, uids = self._name_messages()
        if uids:
            await self._any(f"{'UID ' * by_uid}FETCH {names} ({self._items()})")

    def _items(self) -> str:
        return "UID FLAGS" if self.way is Way.PLAIN else "UID FLAGS MODSEQ"

    async def _search(self) -> None:
        """Search for the keyword that nobody else changes."""
        model = self.model
        by_uid = self._dice.random() < 0.5
        expected = {uid: flags[self.own] for uid, flags in model.sure.items() if self.own in flags}
        numbers = list(model.uids)
        answer = await self._ok(f"{'UID ' * by_uid}SEARCH KEYWORD {self.own.decode()}")
        found = {number for response in answer.named(b"SEARCH") for number in _found(response)}
        if not by_uid:
            found = {numbers[number - 1] for number in found if number <= len(numbers)}
        for uid, is_set in expected.items():
            if uid in numbers and (uid in found) is not is_set and uid in model.messages:
                raise BrokenPromise(f"SEARCH: UID {uid} has {self.own!r}: {is_set}")

    async def _copy(self) -> None:
        by_uid, names, uids = self._name_messages()
        if uids:
            await self._any(f"{'UID ' * by_uid}COPY {names} {self._dice.choice(MAILBOXES)}")

    async def _move(self) -> None:
        by_uid, names, uids = self._name_messages()
        if uids:
            target = next(name for name in MAILBOXES if name != self.mailbox)
            await self._any(f"{'UID ' * by_uid}MOVE {names} {target}")

    async def _expunge(self) -> None:
        """Flag some messages as deleted and expunge them, or everybody's."""
        uids = self._some_uids(MOST_NAMED * (1 + 3 * (len(self.model.uids) > self.most_messages)))
        if not uids:
            return
        names = ",".join(map(str, uids))
        await self._any(f"UID STORE {names} +FLAGS (\\Deleted)")
        await self._ok(self._dice.choice([f"UID EXPUNGE {names}", "EXPUNGE"]))

    async def _go_away_in_the_middle(self) -> None:
        """Send a command and don't wait for what it does, or go away while idling."""
        uids = self._some_uids(MOST_NAMED)
        if uids and self._dice.random() < 0.6:
            for uid in uids:
                self.model.will_change(uid, self.own)
            tag = self.imap.send(f"UID STORE {','.join(map(str, uids))} +FLAGS ({self.own.decode()})")
            with contextlib.suppress(TimeoutError, Disconnected):
                async with asyncio.timeout(self._dice.uniform(0, 0.02)):
                    await self.imap.answer_to(tag, b"UID STORE")
        self.vanish()
        await self._stay_away()

    async def _leave(self) -> None:
        await self.go_away()
        await self._stay_away()

    async def _stay_away(self) -> None:
        await asyncio.sleep(self._dice.choice([0, 0.1, 1, 3]))

    async def _select_other(self) -> None:
        await self._select(self._dice.choice(MAILBOXES))

    # Which messages

    def _name_messages(self) -> tuple[bool, str, list[int]]:
        """Some messages, by UID or by number: how, their names, their UIDs (without those only counted)."""
        model = self.model
        by_uid = self._dice.random() < 0.5
        uids = self._some_uids(MOST_NAMED)
        if by_uid:
            return True, ",".join(map(str, uids)), uids
        return False, ",".join(str(model.uids.index(uid) + 1) for uid in uids), uids

    def _some_uids(self, most: int) -> list[int]:
        named = [uid for uid in self.model.uids if uid]
        if not named:
            return []
        if self._dice.random() < 0.3:  # neighbours
            first = self._dice.randrange(len(named))
            return named[first : first + self._dice.randint(1, most)]
        return sorted(self._dice.sample(named, min(len(named), self._dice.randint(1, most))))

    def _some(self, flags: Iterable[bytes]) -> list[bytes]:
        found = [flag for flag in flags if self._dice.random() < 0.4]
        return found or [SHARED_FLAGS[0]]


def _told(answer: Answer) -> tuple[int, int, int]:
    """UIDVALIDITY, UIDNEXT and HIGHESTMODSEQ as SELECT told them."""
    numbers = tuple(answer.code_number(name) or 0 for name in (b"UIDVALIDITY", b"UIDNEXT", b"HIGHESTMODSEQ"))
    assert all(numbers), answer.untagged
    return numbers[0], numbers[1], numbers[2]


def _found(response: list[Value]) -> list[int]:
    return [word for word in response[1:] if isinstance(word, int)]
