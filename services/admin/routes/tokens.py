"""Tokens of the API itself."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Request

from services.admin.access import allowed
from services.admin.models import TEXT, MadeToken, NewToken, TokenInfo
from services.admin.problems import documented
from services.admin.routes.parameters import CREATE, FIND, READ
from shared.operations.operator import Operator
from shared.operations.tokens import NewToken as Wanted
from shared.operations.tokens import Scope

router = APIRouter(prefix="/tokens", tags=["tokens"])
Keeper = Annotated[Operator, allowed(Scope.TOKENS, everywhere=True)]


@router.get("", response_model=list[TokenInfo], responses=documented(*READ))
async def list_tokens(operator: Keeper) -> Any:
    """List the tokens, without their secrets."""
    return await operator.tokens()


@router.post("", status_code=201, response_model=MadeToken, responses=documented(*CREATE))
async def add_token(operator: Keeper, new: NewToken, request: Request) -> Any:
    """Make a token with scopes that one's own has; its secret is told only here."""
    missing = sorted(set(new.scopes) - request.state.token.scopes)
    if missing:
        raise HTTPException(403, f"a token can't give what it hasn't: {missing[0]}")
    return await operator.add_token(Wanted(new.name, new.scopes, new.domains, new.days))


@router.delete("/{name}", status_code=204, responses=documented(*FIND))
async def revoke_token(operator: Keeper, name: Annotated[str, Path(max_length=255, pattern=TEXT)]) -> None:
    """End a token now."""
    await operator.revoke_token(name)
