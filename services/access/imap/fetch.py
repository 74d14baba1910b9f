r"""FETCH: rows in chunks, bodies in batches, long messages in pieces; \Seen set on the way (RFC 3501 §6.4.5)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from operator import itemgetter
from types import AsyncGeneratorType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from services.access.imap import binary
from services.access.imap.outcome import EXPUNGED, Outcome, done, refused
from services.access.imap.render import HEADS, Plan, Row, number_rows, plan_for, render, render_item, section_head
from services.access.imap.selected import vanished_lines
from shared.imap import command as commands
from shared.imap import response
from shared.imap.fetch import BinarySection, BodySection, FetchItem, sets_seen
from shared.imap.flags import SEEN, FlagSet
from shared.imap.search_return import Partial
from shared.imap.sequence import Range, compact, count, intersect, subtract, window
from shared.imap.state import Extension
from shared.mailbox.content import Failure, RecordUnavailable
from shared.mailbox.errors import MessageGone
from shared.mailbox.messages import StoreMode, Want
from shared.mailbox.rows import FETCH_CHUNK, SIZE
from shared.message.body import SectionText

if TYPE_CHECKING:
    from services.access.imap.session import ImapSession

T = TypeVar("T")

BATCH_BYTES = 4 * 1024 * 1024  # octets of messages read at a time; one batch is read while another is sent
STREAM_FROM = 1024 * 1024  # octets of a message from which on it is sent in pieces
_UNREADABLE = refused(b"Some of the messages can't be read at the moment", response.UNAVAILABLE)
_Decoded: TypeAlias = dict[BinarySection, binary.Decoded]
NOTHING_DECODED: _Decoded = {}
_SIZE = itemgetter(SIZE)
_SHOWN = frozenset((bytes, memoryview, type(None)))
_HEADER_LISTS = (SectionText.HEADER_FIELDS, SectionText.HEADER_FIELDS_NOT)


@dataclass(slots=True)
class _Progress:
    """What has been shown, and why not all."""

    shown: int = 0
    unreadable: int = 0
    undecodable: int = 0


async def fetch(session: ImapSession, command: commands.Fetch) -> Outcome:
    """Show messages; NO when some of them are gone for good or can't be read."""
    selected = session.the_selected()
    ranges = await _asked_for(session, command)
    items = command.items[1:] if command.adds_uid and Extension.UIDONLY in session.enabled else command.items
    seen: frozenset[int] = frozenset()
    if sets_seen(command.items) and not selected.read_only and "s" in selected.rights:
        seen = await _mark_seen(session, ranges)
        if Extension.CONDSTORE in session.enabled and FetchItem.MODSEQ not in items:
            items = (*items, FetchItem.MODSEQ)
    plan = plan_for(items, Extension.UIDONLY in session.enabled)
    told = frozenset() if FetchItem.FLAGS in command.items else seen
    progress = _Progress()
    show = _show_each if plan.one_by_one else _show_bodies if plan.sections else _show_rows
    await show(session, plan, ranges, told, progress)
    if progress.undecodable:
        return binary.UNKNOWN
    if progress.unreadable:
        return _UNREADABLE
    return EXPUNGED if progress.shown < count(ranges) else done(b"FETCH completed")


async def _asked_for(session: ImapSession, command: commands.Fetch) -> tuple[Range, ...]:
    """Return the UIDs to show; what went since a mod-sequence is told first (RFC 7162 §3.1.4.1, §3.2.6)."""
    selected = session.the_selected()
    ranges = selected.resolve(command.messages, uid=command.uid)
    if command.changed_since is None:
        return _windowed(ranges, command.partial)
    difference = await session.desk.messages.difference(selected.mailbox_id, command.changed_since)
    if command.vanished:
        asked = intersect(difference.vanished, command.messages.resolve(0))
        for line in vanished_lines(subtract(asked, tuple(selected.view.ranges())), earlier=True):
            session.write(line)
            await session.connection.drain()
    return _windowed(intersect(ranges, difference.changed), command.partial)


def _windowed(ranges: tuple[Range, ...], partial: Partial | None) -> tuple[Range, ...]:
    """Return the part of a command's messages that PARTIAL leaves (RFC 9394 §3.2)."""
    return ranges if partial is None else window(ranges, *partial.window(count(ranges)))


async def _mark_seen(session: ImapSession, ranges: Sequence[Range]) -> frozenset[int]:
    r"""Set \Seen where it isn't yet; return the UIDs that it was set on."""
    selected, messages = session.the_selected(), session.desk.messages
    unseen: list[int] = []
    async for rows in messages.fetch_rows(selected.mailbox_id, ranges, Want.BRIEF):
        unseen += [row[0] for row in rows if not row[1] & SEEN]
    if not unseen:
        return frozenset()
    change = await messages.store_flags(
        selected.account_id, selected.mailbox_id, compact(unseen), StoreMode.ADD, FlagSet(SEEN)
    )
    if change.changed:
        selected.told(change.modseq)
    return frozenset(unseen)


async def _show_rows(
    session: ImapSession, plan: Plan, ranges: Sequence[Range], told: frozenset[int], progress: _Progress
) -> None:
    """Show what needs no body."""
    selected = session.the_selected()
    chunks = session.desk.messages.fetch_rows(selected.mailbox_id, ranges, plan.want)
    async for rows in ahead(chunks) if count(ranges) > FETCH_CHUNK else chunks:
        known, numbers = number_rows(selected.view, rows, plan.uid_only)
        progress.shown += len(known)
        await session.learn_keywords(known)
        session.write_all(render(plan, known, numbers, selected.flags, (), told))
        await session.connection.drain()


async def _show_bodies(
    session: ImapSession, plan: Plan, ranges: Sequence[Range], told: frozenset[int], progress: _Progress
) -> None:
    selected = session.the_selected()
    async with aclosing(ahead(_read_bodies(session, plan, ranges))) as batches:
        async for rows, bodies in batches:
            if bodies is None:
                await _show_long(session, plan, rows[0], told, progress)
                continue
            rows, columns = _readable(rows, bodies, progress)
            known, numbers = number_rows(selected.view, rows, plan.uid_only)
            if len(known) == len(rows):
                progress.shown += len(known)
                await session.learn_keywords(known)
                session.write_all(render(plan, known, numbers, selected.flags, columns, told))
            await session.connection.drain()


_Column: TypeAlias = Sequence[bytes | memoryview | Failure | None]
_Bodies: TypeAlias = Sequence[_Column]


async def _read_bodies(
    session: ImapSession, plan: Plan, ranges: Sequence[Range]
) -> AsyncIterator[tuple[Sequence[Row], _Bodies | None]]:
    """Yield rows with their sections, column by column; a long message comes alone and without.

    The next rows are read meanwhile only if they come packed: otherwise SQLite here and the journal in a thread would
    only wait for each other at the interpreter's lock.
    """
    rows_of = session.desk.messages.fetch_rows(session.the_selected().mailbox_id, ranges, plan.want)
    async with aclosing(ahead(rows_of) if plan.want is Want.WHOLE else rows_of) as chunks:
        async for rows in chunks:
            for batch in _batches(rows, len(plan.sections)):
                if batch[0][SIZE] >= STREAM_FROM:
                    yield batch, None
                else:
                    yield batch, [await _read_section(session, batch, section) for section in plan.sections]


def _batches(rows: Sequence[Row], sections: int) -> Iterator[Sequence[Row]]:
    sizes = list(map(_SIZE, rows))
    if sum(sizes) * sections <= BATCH_BYTES and max(sizes) < STREAM_FROM:
        yield rows
        return
    batch: list[Row] = []
    size = 0
    for row, its in zip(rows, sizes, strict=True):
        cost = its * sections
        if batch and (size + cost > BATCH_BYTES or its >= STREAM_FROM or batch[0][SIZE] >= STREAM_FROM):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += cost
    if batch:
        yield batch


async def _read_section(session: ImapSession, rows: Sequence[Row], section: BodySection) -> _Column:
    content, text = session.desk.content, SectionText(section.text.value)
    found: _Column
    if not section.path and text is SectionText.WHOLE:
        found = await content.view_many(rows)
    else:
        found = await content.sections(rows, section.path, text, section.fields)
    if section.partial is None:
        return found
    start, end = section.partial.start, section.partial.start + section.partial.length
    return [body[start:end] if isinstance(body, bytes | memoryview) else body for body in found]


def _readable(rows: Sequence[Row], bodies: _Bodies, progress: _Progress) -> tuple[Sequence[Row], Any]:
    """Leave out the rows of which something couldn't be read."""
    if all(set(map(type, column)) <= _SHOWN for column in bodies):
        return rows, bodies
    failed = {
        place: body
        for column in bodies
        for place, body in enumerate(column)
        if body is not None and not isinstance(body, bytes | memoryview)
    }
    progress.unreadable += sum(not isinstance(failure, MessageGone) for failure in failed.values())
    places = [place for place in range(len(rows)) if place not in failed]
    return [rows[place] for place in places], [[column[place] for place in places] for column in bodies]


# Long messages


async def _show_each(
    session: ImapSession, plan: Plan, ranges: Sequence[Range], told: frozenset[int], progress: _Progress
) -> None:
    """Show messages of which binary sections are wanted: each is decoded before its response begins."""
    mailbox_id = session.the_selected().mailbox_id
    async with aclosing(ahead(session.desk.messages.fetch_rows(mailbox_id, ranges, plan.want))) as chunks:
        async for rows in chunks:
            for row in rows:
                try:
                    await _show_long(session, plan, row, told, progress, await _decode(session, plan, row))
                except binary.UnknownEncoding:
                    progress.undecodable += 1
                except RecordUnavailable:
                    progress.unreadable += 1
                except MessageGone:
                    continue
                await session.connection.drain()


async def _decode(session: ImapSession, plan: Plan, row: Row) -> _Decoded:
    decoded: _Decoded = {}
    held = 0
    for item in plan.items:
        if isinstance(item, BinarySection):
            decoded[item] = part = await binary.decode(session, row, item, held)
            held += len(part.octets or b"")
    return decoded


async def _show_long(
    session: ImapSession,
    plan: Plan,
    row: Row,
    told: frozenset[int],
    progress: _Progress,
    decoded: _Decoded = NOTHING_DECODED,
) -> None:
    """Show one message, its octets in pieces; once they are announced only closing can end them early."""
    selected = session.the_selected()
    number = selected.view.sequence(row[0])
    if number is None:
        return
    await session.learn_keywords((row,))
    session.write(HEADS[plan.uid_only] % (row[0] if plan.uid_only else number))
    for place, item in enumerate(plan.items):
        session.write(b" " if place else b"")
        if isinstance(item, FetchItem):
            session.write(render_item(plan, item, row, selected.flags))
        else:
            await _send_whole(session, row, item, decoded)
    if row[0] in told:
        session.write(b" " + response.item(b"FLAGS", *selected.flags.render_all((row[0],), (row[1],))))
    session.write(response.FETCH_END)
    progress.shown += 1


async def _send_whole(session: ImapSession, row: Row, item: BodySection | BinarySection, decoded: _Decoded) -> None:
    try:
        if isinstance(item, BinarySection):
            await binary.send(session, row, decoded[item])
        else:
            await _send_section(session, row, item)
    except Exception as error:
        session.desk.log.trouble("message broke off", error=repr(error), exc_info=error)
        session.connection.cut_off()
        raise ConnectionAbortedError("a response can't be finished") from error


async def _send_section(session: ImapSession, row: Row, section: BodySection) -> None:
    content, text = session.desk.content, SectionText(section.text.value)
    if text in _HEADER_LISTS:
        await _send_picked(session, row, section)
        return
    extent = content.extent(row, section.path, text)
    if extent is None:
        session.write(section_head(section, None))
        return
    start, end = extent.start, extent.start + extent.length
    if section.partial is not None:
        start = min(start + section.partial.start, end)
        end = min(start + section.partial.length, end)
    session.write(response.literal_item_head(section.label, end - start))
    async for piece in content.stream(row, start, end - start):
        session.write(piece)
        await session.connection.drain()


async def _send_picked(session: ImapSession, row: Row, section: BodySection) -> None:
    text = SectionText(section.text.value)
    found = await session.desk.content.section(row, section.path, text, section.fields)
    if found is not None and section.partial is not None:
        found = found[section.partial.start : section.partial.start + section.partial.length]
    session.write(section_head(section, found) + (found or b""))


async def ahead(source: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    """Yield what `source` yields, of which the next is made while one is used."""
    following = asyncio.ensure_future(anext(source, None))
    try:
        while (item := await following) is not None:
            following = asyncio.ensure_future(anext(source, None))
            yield item
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        if isinstance(source, AsyncGeneratorType):
            await source.aclose()
