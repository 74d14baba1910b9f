"""Domains, and the DNS records that they should publish."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from services.admin.access import IdempotencyKey, IfMatch, allowed, once_of, optional_version, required_version, tag
from services.admin.models import DnsRecord, Domain, DomainChange, DomainPage, NewDomain
from services.admin.problems import documented
from services.admin.routes.parameters import CHANGE, CREATE, FIND, PAGE, READ, REMOVE, Cursor, DomainName, Limit
from shared.operations.operator import Operator
from shared.operations.tokens import Scope

router = APIRouter(prefix="/domains", tags=["domains"])
Reader = Annotated[Operator, allowed(Scope.DIRECTORY_READ)]
Writer = Annotated[Operator, allowed(Scope.DIRECTORY_WRITE)]
Founder = Annotated[Operator, allowed(Scope.DIRECTORY_WRITE, everywhere=True)]


@router.get("", response_model=DomainPage, responses=documented(*READ))
async def list_domains(operator: Reader, cursor: Cursor = "", limit: Limit = PAGE) -> Any:
    """List the domains, by name."""
    return (await operator.domains(cursor, limit)).view()


@router.post("", status_code=201, response_model=Domain, responses=documented(*CREATE))
async def add_domain(
    operator: Founder, new: NewDomain, request: Request, response: Response, idempotency_key: IdempotencyKey = None
) -> Any:
    """Add a domain."""
    view = await operator.add_domain(new.name, new.alias_of, once_of(request, idempotency_key, new.model_dump()))
    response.headers["Location"] = f"/api/v1/domains/{view['name']}"
    return tag(response, view)


@router.get("/{name}", response_model=Domain, responses=documented(*FIND))
async def get_domain(operator: Reader, name: DomainName, response: Response) -> Any:
    """Get a domain."""
    return tag(response, await operator.domain(name))


@router.patch("/{name}", response_model=Domain, responses=documented(*CHANGE))
async def change_domain(
    operator: Writer, name: DomainName, change: DomainChange, response: Response, if_match: IfMatch = None
) -> Any:
    """Set who gets its postmaster mail and that of unknown addresses."""
    changes = change.model_dump(exclude_none=True)
    return tag(response, await operator.change_domain(name, changes, required_version(if_match)))


@router.delete("/{name}", status_code=204, responses=documented(*REMOVE))
async def remove_domain(operator: Founder, name: DomainName, if_match: IfMatch = None) -> None:
    """Remove a domain that has no accounts and aliases any more."""
    await operator.remove_domain(name, optional_version(if_match))


@router.get("/{name}/records", response_model=list[DnsRecord], responses=documented(*FIND))
async def domain_records(
    operator: Reader,
    name: DomainName,
    check: Annotated[bool, Query(description="Compare them with what DNS says.")] = False,
) -> Any:
    """List the DNS records that the domain should publish."""
    return await (operator.check_records(name) if check else operator.records(name))
