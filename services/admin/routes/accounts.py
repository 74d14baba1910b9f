"""Accounts and their app passwords."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request, Response

from services.admin.access import IdempotencyKey, IfMatch, allowed, once_of, optional_version, required_version, tag
from services.admin.models import (
    TEXT,
    Account,
    AccountChange,
    AccountPage,
    AppPassword,
    NewAccount,
    NewAppPassword,
)
from services.admin.problems import documented
from services.admin.routes.parameters import CHANGE, CREATE, FIND, PAGE, REMOVE, Cursor, Limit, MailAddress, Word
from shared.operations.operator import Operator
from shared.operations.tokens import Scope

router = APIRouter(prefix="/accounts", tags=["accounts"])
Reader = Annotated[Operator, allowed(Scope.DIRECTORY_READ)]
Writer = Annotated[Operator, allowed(Scope.DIRECTORY_WRITE)]


@router.get("", response_model=AccountPage, responses=documented(*FIND))
async def list_accounts(operator: Reader, domain: Word = "", cursor: Cursor = "", limit: Limit = PAGE) -> Any:
    """List the accounts, by address; those of one domain."""
    return (await operator.accounts(domain, cursor, limit)).view()


@router.post("", status_code=201, response_model=Account, responses=documented(*CREATE))
async def add_account(
    operator: Writer, new: NewAccount, request: Request, response: Response, idempotency_key: IdempotencyKey = None
) -> Any:
    """Create an account with its default mailboxes."""
    once = once_of(request, idempotency_key, new.model_dump())
    view = await operator.add_account(new.address, new.password, new.password_hash, new.quota_bytes, once)
    response.headers["Location"] = f"/api/v1/accounts/{quote(view['address'])}"
    return tag(response, view)


@router.get("/{address}", response_model=Account, responses=documented(*FIND))
async def get_account(operator: Reader, address: MailAddress, response: Response) -> Any:
    """Get an account."""
    return tag(response, await operator.account(address))


@router.patch("/{address}", response_model=Account, responses=documented(*CHANGE))
async def change_account(
    operator: Writer, address: MailAddress, change: AccountChange, response: Response, if_match: IfMatch = None
) -> Any:
    """Set quota, password, and whether it may log in and receive."""
    changes = change.model_dump(exclude_none=True)
    return tag(response, await operator.change_account(address, changes, required_version(if_match)))


@router.delete("/{address}", status_code=204, responses=documented(*REMOVE))
async def remove_account(
    operator: Writer,
    address: MailAddress,
    purge: Annotated[bool, Query(description="Delete its mail for good, or keep it for the operator.")],
    if_match: IfMatch = None,
) -> None:
    """Remove an account."""
    await operator.remove_account(address, purge=purge, version=optional_version(if_match))


@router.post("/{address}/app-passwords", status_code=201, response_model=AppPassword, responses=documented(*CREATE))
async def add_app_password(
    operator: Writer,
    address: MailAddress,
    new: NewAppPassword,
    request: Request,
    idempotency_key: IdempotencyKey = None,
) -> Any:
    """Add a password for one program."""
    once = once_of(request, idempotency_key, new.model_dump())
    return await operator.add_app_password(address, new.name, new.password, new.password_hash, once)


@router.delete("/{address}/app-passwords/{name}", status_code=204, responses=documented(*REMOVE))
async def remove_app_password(
    operator: Writer, address: MailAddress, name: Annotated[str, Path(max_length=255, pattern=TEXT)]
) -> None:
    """Remove an app password."""
    await operator.remove_app_password(address, name)
