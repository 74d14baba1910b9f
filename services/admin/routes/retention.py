"""How long messages stay in mailboxes, and bringing back what was expunged."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from services.admin.access import (
    IfMatch,
    Set,
    allowed,
    based_on,
    tag,
)
from services.admin.mail_models import NewRule, Restored, Rule, RulePage, Undelete
from services.admin.models import TEXT
from services.admin.problems import documented, documented_setting
from services.admin.routes.parameters import CHANGE, FIND, PAGE, REMOVE, Cursor, Limit, MailAddress, Word
from shared.operations.operator import Operator
from shared.operations.tokens import Scope

router = APIRouter(tags=["retention"])
Reader = Annotated[Operator, allowed(Scope.MAIL_READ)]
Writer = Annotated[Operator, allowed(Scope.MAIL_WRITE)]
MailboxOrUse = Annotated[str, Path(min_length=1, max_length=1000, pattern=TEXT, examples=["\\Trash"])]
OfAccount = Annotated[
    str, Query(description='"": the rule of all accounts.', max_length=320, pattern=TEXT, examples=["me@example.org"])
]


@router.get("/retention", response_model=RulePage, responses=documented(*FIND))
async def list_rules(operator: Reader, account: Word = "", cursor: Cursor = "", limit: Limit = PAGE) -> Any:
    """List the rules, in the order in which they were set; those of one account."""
    return (await operator.mail.rules(account, cursor, limit)).view()


@router.get("/retention/{mailbox:path}", response_model=Rule, responses=documented(*FIND))
async def get_rule(operator: Reader, mailbox: MailboxOrUse, response: Response, account: OfAccount = "") -> Any:
    """Get the rule for a mailbox or a special use."""
    return tag(response, await operator.mail.rule(account, mailbox))


@router.put("/retention/{mailbox:path}", response_model=Rule, responses=documented_setting(Rule, *CHANGE))
async def put_rule(
    operator: Writer,
    mailbox: MailboxOrUse,
    new: NewRule,
    change: Set,
    account: OfAccount = "",
) -> Any:
    """Say how many days messages stay: a new rule (If-None-Match: *), or in place of one (If-Match)."""
    condition = change.condition
    once = change.once({"account": account, "days": new.days})
    view = await operator.mail.put_rule(account, mailbox, new.days, condition, once)
    return change.answer(view)


@router.delete("/retention/{mailbox:path}", status_code=204, responses=documented(*REMOVE))
async def remove_rule(
    operator: Writer, mailbox: MailboxOrUse, account: OfAccount = "", if_match: IfMatch = None
) -> None:
    """Forget a rule."""
    await operator.mail.remove_rule(account, mailbox, based_on(if_match))


@router.get("/accounts/{address}/expunged", response_model=list[Restored], responses=documented(*FIND))
async def list_expunged(
    operator: Reader,
    address: MailAddress,
    since: Annotated[float, Query(description="Expunged since then, Unix seconds.", ge=0, le=1e11)] = 0,
    mailbox: Word = "",
) -> Any:
    """Count the messages that `undelete` would bring back, by mailbox."""
    return await operator.mail.expunged(address, int(since * 1e6), mailbox)


@router.post("/accounts/{address}/undelete", response_model=list[Restored], responses=documented(*FIND))
async def undelete(operator: Writer, address: MailAddress, wanted: Undelete) -> Any:
    """Bring back expunged messages that are remembered; what is there already isn't brought back again."""
    return await operator.mail.undelete(address, int(wanted.since * 1e6), wanted.mailbox)
