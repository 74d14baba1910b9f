"""The mailboxes of accounts, and whom they are shared with (RFC 4314)."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request, Response

from services.admin.access import (
    IdempotencyKey,
    IfMatch,
    Set,
    allowed,
    based_on,
    once_of,
    required_version,
    tag,
)
from services.admin.mail_models import MailboxChange, MailboxInfo, NewMailbox, NewRights, Rights
from services.admin.models import TEXT
from services.admin.problems import documented, documented_setting
from services.admin.routes.parameters import CHANGE, CREATE, FIND, REMOVE, MailAddress, MailboxName
from shared.operations.condition import Condition
from shared.operations.operator import Operator
from shared.operations.tokens import Scope

router = APIRouter(prefix="/accounts/{address}", tags=["mailboxes"])
Reader = Annotated[Operator, allowed(Scope.MAIL_READ)]
Writer = Annotated[Operator, allowed(Scope.MAIL_WRITE)]
Identifier = Annotated[
    str,
    Path(
        description="An address, @domain or anyone; with - before it, what is taken away.",
        min_length=1,
        max_length=321,
        pattern=TEXT,
        examples=["ann@example.org"],
    ),
]
OfMailbox = Annotated[str, Query(min_length=1, max_length=1000, pattern=TEXT, examples=["Projects"])]


@router.get("/mailboxes", response_model=list[MailboxInfo], responses=documented(*FIND))
async def list_mailboxes(operator: Reader, address: MailAddress) -> Any:
    """List the mailboxes of an account."""
    return await operator.mail.mailboxes(address)


@router.post("/mailboxes", status_code=201, response_model=MailboxInfo, responses=documented(*CREATE))
async def create_mailbox(
    operator: Writer,
    address: MailAddress,
    new: NewMailbox,
    request: Request,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> Any:
    """Create a mailbox and the ones above it that aren't there."""
    once = once_of(request, idempotency_key, new.model_dump())
    view = await operator.mail.create_mailbox(address, new.name, new.uses, once)
    response.headers["Location"] = f"/api/v1/accounts/{quote(address)}/mailboxes/{quote(view['name'])}"
    return tag(response, view)


@router.get("/mailboxes/{name:path}", response_model=MailboxInfo, responses=documented(*FIND))
async def get_mailbox(operator: Reader, address: MailAddress, name: MailboxName, response: Response) -> Any:
    """Get a mailbox."""
    return tag(response, await operator.mail.mailbox(address, name))


@router.patch("/mailboxes/{name:path}", response_model=MailboxInfo, responses=documented(*CHANGE))
async def rename_mailbox(
    operator: Writer,
    address: MailAddress,
    name: MailboxName,
    change: MailboxChange,
    response: Response,
    if_match: IfMatch = None,
) -> Any:
    """Rename a mailbox with what is below it."""
    condition = Condition(required_version(if_match))
    return tag(response, await operator.mail.rename_mailbox(address, name, change.name, condition))


@router.delete("/mailboxes/{name:path}", status_code=204, responses=documented(*REMOVE))
async def delete_mailbox(operator: Writer, address: MailAddress, name: MailboxName, if_match: IfMatch = None) -> None:
    """Delete a mailbox with its messages; what is below it stays."""
    await operator.mail.delete_mailbox(address, name, based_on(if_match))


@router.get("/rights", response_model=list[Rights], responses=documented(*FIND))
async def list_rights(operator: Reader, address: MailAddress, mailbox: OfMailbox) -> Any:
    """List who may do what in a mailbox, its owner first."""
    return await operator.mail.rights(address, mailbox)


@router.put("/rights/{identifier}", response_model=Rights, responses=documented_setting(Rights, *CHANGE))
async def put_rights(
    operator: Writer,
    address: MailAddress,
    identifier: Identifier,
    mailbox: OfMailbox,
    new: NewRights,
    change: Set,
) -> Any:
    """Say what somebody may do in a mailbox: for the first time (If-None-Match: *), or anew (If-Match)."""
    condition = change.condition
    once = change.once({"mailbox": mailbox, "rights": new.rights})
    view = await operator.mail.share(address, mailbox, identifier, new.rights, condition, once)
    return change.answer(view)


@router.delete("/rights/{identifier}", status_code=204, responses=documented(*REMOVE))
async def remove_rights(
    operator: Writer, address: MailAddress, identifier: Identifier, mailbox: OfMailbox, if_match: IfMatch = None
) -> None:
    """Take away all that somebody may do in a mailbox."""
    await operator.mail.share(address, mailbox, identifier, "", based_on(if_match))
