"""Sieve scripts of accounts, and those of domains and the system that run before and after them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Response

from services.admin.access import (
    IfMatch,
    Set,
    allowed,
    based_on,
    required_version,
    tag,
)
from services.admin.mail_models import NewScript, Script, ScriptChange, ScriptInfo, Scripts
from services.admin.models import TEXT
from services.admin.problems import documented, documented_setting
from services.admin.routes.parameters import CHANGE, FIND, REMOVE, Word
from shared.operations.condition import Condition
from shared.operations.kept_scripts import Change, Whose
from shared.operations.operator import Operator
from shared.operations.tokens import Scope

router = APIRouter(prefix="/scripts", tags=["scripts"])
Reader = Annotated[Operator, allowed(Scope.MAIL_READ)]
Writer = Annotated[Operator, allowed(Scope.MAIL_WRITE)]
ScriptName = Annotated[str, Path(min_length=1, max_length=512, pattern=TEXT, examples=["main"])]


def whose_scripts(
    account: Annotated[str, Query(max_length=320, pattern=TEXT, examples=["me@example.org"])] = "",
    domain: Word = "",
    place: Annotated[Literal["", "before", "after"], Query(description="Of a domain's or the system's.")] = "",
) -> Whose:
    """Return whose scripts a request is about: an account's, a domain's at a place, the system's at a place."""
    return Whose(account, domain, place)


Owner = Annotated[Whose, Depends(whose_scripts)]


@router.get("", response_model=Scripts, responses=documented(*FIND))
async def list_scripts(operator: Reader, whose: Owner) -> Any:
    """List an owner's scripts by name, and tell what last went wrong when an account's ran."""
    return await operator.mail.scripts(whose)


@router.get("/{name}", response_model=Script, responses=documented(*FIND))
async def get_script(operator: Reader, whose: Owner, name: ScriptName, response: Response) -> Any:
    """Get a script with its content."""
    return tag(response, await operator.mail.script(whose, name))


@router.put("/{name}", response_model=ScriptInfo, responses=documented_setting(ScriptInfo, *CHANGE))
async def put_script(
    operator: Writer,
    whose: Owner,
    name: ScriptName,
    new: NewScript,
    change: Set,
) -> Any:
    """Keep a script that has no errors: a new one (If-None-Match: *), or in place of one (If-Match)."""
    condition = change.condition
    once = change.once({**new.model_dump(), "whose": [whose.account, whose.domain, whose.place]})
    content = new.content.encode()
    view = await operator.mail.put_script(whose, name, content, new.active, condition, once)
    return change.answer(view)


@router.patch("/{name}", response_model=ScriptInfo, responses=documented(*CHANGE))
async def change_script(
    operator: Writer,
    whose: Owner,
    name: ScriptName,
    change: ScriptChange,
    response: Response,
    if_match: IfMatch = None,
) -> Any:
    """Rename a script; make it the active one, or none."""
    condition = Condition(required_version(if_match))
    return tag(response, await operator.mail.change_script(whose, name, Change(change.name, change.active), condition))


@router.delete("/{name}", status_code=204, responses=documented(*REMOVE))
async def delete_script(operator: Writer, whose: Owner, name: ScriptName, if_match: IfMatch = None) -> None:
    """Delete a script that isn't active."""
    await operator.mail.delete_script(whose, name, based_on(if_match))
