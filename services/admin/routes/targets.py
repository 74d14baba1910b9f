"""Where mail of accounts and domains goes instead of their mailboxes here."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from services.admin.access import (
    IfMatch,
    Set,
    allowed,
    based_on,
    tag,
)
from services.admin.mail_models import NewTarget, Target, TargetPage
from services.admin.models import TEXT
from services.admin.problems import documented, documented_setting
from services.admin.routes.parameters import CHANGE, FIND, PAGE, READ, REMOVE, Cursor, Limit
from shared.operations.operator import Operator
from shared.operations.targets import make_target
from shared.operations.tokens import Scope

router = APIRouter(prefix="/targets", tags=["targets"])
Reader = Annotated[Operator, allowed(Scope.MAIL_READ)]
Writer = Annotated[Operator, allowed(Scope.TARGETS_WRITE, everywhere=True)]  # commands, paths, other hosts
AccountOrDomain = Annotated[str, Path(min_length=1, max_length=320, pattern=TEXT, examples=["me@example.org"])]


@router.get("", response_model=TargetPage, responses=documented(*READ))
async def list_targets(operator: Reader, cursor: Cursor = "", limit: Limit = PAGE) -> Any:
    """List the targets that were set, in that order; all others have the store."""
    return (await operator.mail.targets(cursor, limit)).view()


@router.get("/{whose}", response_model=Target, responses=documented(*FIND))
async def get_target(operator: Reader, whose: AccountOrDomain, response: Response) -> Any:
    """Get the target of an account or a domain."""
    return tag(response, await operator.mail.target(whose))


@router.put("/{whose}", response_model=Target, responses=documented_setting(Target, *CHANGE))
async def put_target(
    operator: Writer,
    whose: AccountOrDomain,
    new: NewTarget,
    change: Set,
) -> Any:
    """Send mail elsewhere: a new target (If-None-Match: *), or in place of one (If-Match)."""
    condition = change.condition
    target = make_target(new.kind, list(new.place), new.seconds)
    view = await operator.mail.put_target(whose, target, condition, change.once(new.model_dump()))
    return change.answer(view)


@router.delete("/{whose}", status_code=204, responses=documented(*REMOVE))
async def remove_target(operator: Writer, whose: AccountOrDomain, if_match: IfMatch = None) -> None:
    """Forget a target."""
    await operator.mail.remove_target(whose, based_on(if_match))
