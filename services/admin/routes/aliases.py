"""Aliases and forwards."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Request, Response

from services.admin.access import IdempotencyKey, IfMatch, allowed, once_of, optional_version, required_version, tag
from services.admin.models import Alias, AliasChange, AliasPage, NewAlias
from services.admin.problems import documented
from services.admin.routes.parameters import CHANGE, CREATE, FIND, PAGE, REMOVE, Cursor, Limit, MailAddress, Word
from shared.operations.operator import Operator
from shared.operations.tokens import Scope

router = APIRouter(prefix="/aliases", tags=["aliases"])
Reader = Annotated[Operator, allowed(Scope.DIRECTORY_READ)]
Writer = Annotated[Operator, allowed(Scope.DIRECTORY_WRITE)]


@router.get("", response_model=AliasPage, responses=documented(*FIND))
async def list_aliases(operator: Reader, domain: Word = "", cursor: Cursor = "", limit: Limit = PAGE) -> Any:
    """List the aliases with each of their targets; those of one domain."""
    return (await operator.aliases(domain, cursor, limit)).view()


@router.post("", status_code=201, response_model=Alias, responses=documented(*CREATE))
async def add_alias(
    operator: Writer, new: NewAlias, request: Request, response: Response, idempotency_key: IdempotencyKey = None
) -> Any:
    """Make an alias."""
    view = await operator.create_alias(new.address, new.targets, once_of(request, idempotency_key, new.model_dump()))
    response.headers["Location"] = f"/api/v1/aliases/{quote(view['address'])}"
    return tag(response, view)


@router.get("/{address}", response_model=Alias, responses=documented(*FIND))
async def get_alias(operator: Reader, address: MailAddress, response: Response) -> Any:
    """Get an alias with its targets."""
    return tag(response, await operator.alias(address))


@router.put("/{address}", response_model=Alias, responses=documented(*CHANGE))
async def change_alias(
    operator: Writer, address: MailAddress, change: AliasChange, response: Response, if_match: IfMatch = None
) -> Any:
    """Replace an alias's targets."""
    return tag(response, await operator.change_alias(address, change.targets, required_version(if_match)))


@router.delete("/{address}", status_code=204, responses=documented(*REMOVE))
async def remove_alias(operator: Writer, address: MailAddress, target: Word = "", if_match: IfMatch = None) -> None:
    """Remove an alias, or one target of it."""
    await operator.remove_alias(address, target, optional_version(if_match))
