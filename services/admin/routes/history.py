"""What became of mail: ledger, timelines, refused mail; the audit log."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from services.admin.access import allowed
from services.admin.models import TEXT, AuditPage, Event, LedgerPage, RejectionPage
from services.admin.problems import documented
from services.admin.routes.parameters import PAGE, READ, Cursor, Limit, Word
from shared.operations.operator import Operator
from shared.operations.tokens import Scope
from shared.operations.trace import DEFAULT_EVENTS

router = APIRouter()
Tracer = Annotated[Operator, allowed(Scope.TRACE_READ)]
Auditor = Annotated[Operator, allowed(Scope.AUDIT_READ, everywhere=True)]
Moment = Annotated[float | None, Query(description="Unix time, seconds.", ge=0, le=1e11)]
OUTCOMES = Literal["", "delivered", "relayed", "redirected", "bounced", "failed", "discarded", "dropped"]


@router.get("/ledger", response_model=LedgerPage, tags=["trace"], responses=documented(*READ))
async def list_ledger(
    operator: Tracer,
    entry: Word = "",
    recipient: Word = "",
    sender: Word = "",
    message_id: Word = "",
    outcome: OUTCOMES = "",
    since: Moment = None,
    until: Moment = None,
    cursor: Cursor = "",
    limit: Limit = PAGE,
) -> Any:
    """List outcomes, newest entries first; `since` and `until` are about acceptance. A page may be short."""
    page = await operator.ledger(
        cursor,
        limit,
        outcome=outcome,
        since=since,
        until=until,
        entry=entry.upper(),
        recipient=recipient,
        sender=sender,
        message_id=message_id,
    )
    return page.view()


@router.get("/trace", response_model=list[Event], tags=["trace"], responses=documented(*READ))
async def trace(
    operator: Tracer,
    what: Annotated[
        str,
        Query(
            description="An entry id, a Message-ID or an address.",
            min_length=1,
            max_length=1000,
            pattern=TEXT,
            examples=["me@example.org"],
        ),
    ],
    limit: Limit = DEFAULT_EVENTS,
) -> Any:
    """Tell a timeline: accepted, queued, each attempt, delivered, bounced; refused mail of an address, too."""
    return await operator.trace(what, limit)


@router.get("/rejections", response_model=RejectionPage, tags=["trace"], responses=documented(*READ))
async def list_rejections(
    operator: Tracer, address: Word = "", ip: Word = "", cursor: Cursor = "", limit: Limit = PAGE
) -> Any:
    """List refused mail, the newest first."""
    return (await operator.rejections(cursor, limit, address=address, ip=ip)).view()


@router.get("/audit", response_model=AuditPage, tags=["audit"], responses=documented(*READ))
async def list_audit(
    operator: Auditor,
    target: Annotated[str, Query(alias="object", max_length=1000, pattern=TEXT)] = "",
    actor: Word = "",
    cursor: Cursor = "",
    limit: Limit = PAGE,
) -> Any:
    """List changes, the newest first."""
    return (await operator.audit(cursor, limit, target=target, who=actor)).view()
