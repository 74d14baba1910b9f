"""The queue: what waits and why, what is done about it; sites and workers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Path

from services.admin.access import allowed
from services.admin.models import TEXT, Acted, Entry, QueueAction, Site, SiteChange, Statistics, WaitingPage, Worker
from services.admin.problems import documented
from services.admin.routes.parameters import FIND, PAGE, READ, Cursor, EntryId, Limit, Word
from shared.operations.operator import Operator
from shared.operations.queue import Selection
from shared.operations.tokens import Scope
from shared.operations.waiting import Wanted

router = APIRouter(tags=["queue"])
Reader = Annotated[Operator, allowed(Scope.QUEUE_READ)]
Overseer = Annotated[Operator, allowed(Scope.QUEUE_READ, everywhere=True)]
Worker_ = Annotated[Operator, allowed(Scope.QUEUE_WRITE)]
Dispatcher = Annotated[Operator, allowed(Scope.QUEUE_WRITE, everywhere=True)]
SiteName = Annotated[str, Path(min_length=1, max_length=1000, pattern=TEXT, examples=["mx.example.net"])]


@router.get("/queue", response_model=WaitingPage, responses=documented(*READ))
async def list_queue(
    operator: Reader,
    state: Literal["", "queued", "waiting", "held"] = "",
    lane: Literal["", "delivery", "relay"] = "",
    site: Word = "",
    sender: Word = "",
    recipient: Word = "",
    reason: Word = "",
    cursor: Cursor = "",
    limit: Limit = PAGE,
) -> Any:
    """List what isn't finished: recipients on record by entry, then fresh ones. A page may be short."""
    wanted = Wanted(state, lane, site, sender, recipient, reason)
    return (await operator.waiting(wanted, cursor, limit)).view()


@router.get("/queue/held", response_model=WaitingPage, responses=documented(*READ))
async def list_held(operator: Reader, cursor: Cursor = "", limit: Limit = PAGE) -> Any:
    """List the dead letters: what workers gave up on or an operator holds."""
    return (await operator.waiting(Wanted(state="held"), cursor, limit)).view()


@router.get("/queue/statistics", response_model=Statistics, responses=documented(*READ))
async def queue_statistics(operator: Overseer) -> Any:
    """Count what waits: per lane, per site, per reason."""
    return await operator.statistics()


@router.post("/queue/actions", response_model=Acted, responses=documented(*FIND))
async def act(operator: Worker_, wanted: QueueAction) -> Any:
    """Retry, hold, release or drop: entries, those that a filter takes, or all."""
    selection = _selection(wanted)
    match wanted.action:
        case "retry":
            count = await operator.retry(selection)
        case "hold":
            count = await operator.hold(selection)
        case "release":
            count = await operator.release(selection)
        case "drop":
            count = await operator.drop(selection, bounce=wanted.bounce)
    return {"recipients": count}


@router.get("/queue/{entry}", response_model=Entry, responses=documented(*FIND))
async def show_entry(operator: Reader, entry: EntryId) -> Any:
    """Show an entry that waits: envelope, attempts, header."""
    return await operator.show(entry)


@router.get("/sites", response_model=list[Site], tags=["sites"], responses=documented(*READ))
async def list_sites(operator: Overseer) -> Any:
    """List the sites that have work, workers or a throttle."""
    return await operator.sites()


@router.get("/sites/{site:path}", response_model=Site, tags=["sites"], responses=documented(*FIND))
async def get_site(operator: Overseer, site: SiteName) -> Any:
    """Get a site."""
    return await operator.site(site)


@router.patch("/sites/{site:path}", response_model=Site, tags=["sites"], responses=documented(*READ))
async def change_site(operator: Dispatcher, site: SiteName, change: SiteChange) -> Any:
    """Pause or resume a site, or say how many connections it may have."""
    return await operator.throttle(site, paused=change.paused, connections=change.connections)


@router.get("/workers", response_model=list[Worker], tags=["workers"], responses=documented(*READ))
async def list_workers(operator: Overseer) -> Any:
    """List the processes that read the queue, and what they lease."""
    return await operator.workers()


def _selection(action: QueueAction) -> Selection:
    said = [action.entries is not None, action.filter is not None, action.all]
    if sum(said) != 1:
        raise HTTPException(422, "say one of entries, filter and all")
    if action.entries is not None:
        return Selection.of_entries(action.entries)
    if action.filter is None:
        return Selection()
    wanted = Wanted(**action.filter.model_dump())
    if wanted == Wanted():
        raise HTTPException(422, "an empty filter takes everything: say all")
    return Selection(wanted)
