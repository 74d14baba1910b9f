"""The quarantine: mail that scanners or filters kept back."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Response

from services.admin.access import allowed
from services.admin.mail_models import KeptAction, KeptMessage, KeptPage
from services.admin.models import Acted
from services.admin.problems import documented
from services.admin.routes.parameters import FIND, PAGE, READ, Cursor, EntryId, Limit, Word
from shared.operations.operator import Operator
from shared.operations.quarantine import Kept
from shared.operations.tokens import Scope

router = APIRouter(prefix="/quarantine", tags=["quarantine"])
Reader = Annotated[Operator, allowed(Scope.QUARANTINE_READ)]
Writer = Annotated[Operator, allowed(Scope.QUARANTINE_WRITE)]
MESSAGE = "message/rfc822"
SOURCE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The message, as it came.", "content": {MESSAGE: {"schema": {"type": "string"}}}}
}


@router.get("", response_model=KeptPage, responses=documented(*READ))
async def list_quarantine(
    operator: Reader, sender: Word = "", recipient: Word = "", cursor: Cursor = "", limit: Limit = PAGE
) -> Any:
    """List what is kept back, oldest first; `sender` and `recipient` are addresses or @domains."""
    return (await operator.mail.kept_back(Kept((), sender, recipient), cursor, limit)).view()


@router.post("/actions", response_model=Acted, responses=documented(*FIND))
async def act_on_quarantine(operator: Writer, wanted: KeptAction) -> Any:
    """Release (deliver after all, not scanned again) or delete: entries, what a filter takes, or all."""
    chosen = _chosen(wanted)
    act = operator.mail.release_kept if wanted.action == "release" else operator.mail.delete_kept
    return {"recipients": await act(chosen)}


@router.get("/{entry}", response_model=KeptMessage, responses=documented(*FIND))
async def show_kept(operator: Reader, entry: EntryId) -> Any:
    """Show a message: why it is kept back, for whom, its header."""
    return await operator.mail.show_kept(entry)


@router.get("/{entry}/source", response_class=Response, responses={**documented(*FIND), **SOURCE})
async def source_of_kept(operator: Reader, entry: EntryId) -> Response:
    """Get the whole message, as it came. It may be malicious."""
    return Response(await operator.mail.source_of_kept(entry), media_type=MESSAGE)


def _chosen(wanted: KeptAction) -> Kept:
    if sum([wanted.entries is not None, wanted.filter is not None, wanted.all]) != 1:
        raise HTTPException(422, "say one of entries, filter and all")
    if wanted.entries is not None:
        return Kept.of_entries(wanted.entries)
    if wanted.filter is None:
        return Kept()
    chosen = Kept((), wanted.filter.sender, wanted.filter.recipient)
    if chosen == Kept():
        raise HTTPException(422, "an empty filter takes everything: say all")
    return chosen
