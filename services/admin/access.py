"""Who may do what: bearer tokens (RFC 6750), scopes, domains; ETags and idempotency keys of requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import Depends, Header, HTTPException, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from shared.operations.condition import Condition
from shared.operations.once import Once
from shared.operations.operator import Office, Operator
from shared.operations.tokens import Scope, Token, find_token

bearer = HTTPBearer(auto_error=False, description="A token made with `packetboat token add`.")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]


async def authenticate(request: Request, credentials: Credentials) -> Token:
    """Return the request's token; 401 without a good one."""
    token = None
    if credentials is not None:
        token = await find_token(office_of(request).database, credentials.credentials)
    if token is None:
        challenge = 'Bearer error="invalid_token"' if credentials else "Bearer"
        raise HTTPException(401, "a good bearer token is needed", {"WWW-Authenticate": challenge})
    request.state.token = token
    return token


def allowed(scope: Scope, *, everywhere: bool = False) -> Any:
    """Return the dependency that gives an Operator to tokens with a scope; 403 for others.

    What is about the whole stack (`everywhere`) isn't for domain administrators.
    """
    return Depends(_gate(scope, everywhere))


def _gate(scope: Scope, everywhere: bool) -> Callable[..., Any]:
    async def gate(request: Request, token: Annotated[Token, Depends(authenticate)]) -> Operator:
        if scope not in token.scopes:
            challenge = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'}
            raise HTTPException(403, f"this needs the scope {scope}", challenge)
        if everywhere and token.domains is not None:
            raise HTTPException(403, "this is about all domains, and the token is for some")
        return Operator(office_of(request), token.actor)

    return gate


def office_of(request: Request) -> Office:
    """Return what operations are done with."""
    office: Office = request.app.state.office
    return office


IdempotencyKey = Annotated[
    str | None,
    Header(
        description="Repeats of a creation under the same key have the first one's effect and answer.",
        max_length=200,
        min_length=1,
        pattern="^[!-~]+$",
        examples=["5f1c2c0e"],
    ),
]
IfMatch = Annotated[
    str | None,
    Header(description="The ETag that the change is based on, or *.", max_length=200, examples=['"4f2a9c"']),
]


IfNoneMatch = Annotated[Literal["*"] | None, Header(description="*: only if there is none yet.", examples=["*"])]


def once_of(request: Request, key: str | None, body: dict[str, Any]) -> Once | None:
    """Return the name of a creation that may be repeated."""
    token: Token = request.state.token
    return Once.of(token.name, key, request.url.path, body) if key is not None else None


def required_version(if_match: str | None) -> str | None:
    """Return the version that a change is based on, None for any (`*`); 428 if none is said (RFC 6585)."""
    if if_match is None:
        raise HTTPException(428, "say in If-Match which version you change: its ETag, or *")
    return optional_version(if_match)


def optional_version(if_match: str | None) -> str | None:
    """Return the version in an If-Match that may be missing."""
    if if_match is None or if_match.strip() == "*":
        return None
    return if_match.strip().removeprefix("W/").strip('"') or "none"


def based_on(if_match: str | None) -> Condition:
    """Return what a change of something that is there is based on."""
    return Condition(optional_version(if_match), there=True)


def tag(response: Response, view: dict[str, Any]) -> dict[str, Any]:
    """Set the ETag of what is answered."""
    response.headers["ETag"] = f'"{view["version"]}"'
    return view


@dataclass(frozen=True, slots=True)
class Setting:
    """A PUT, which makes something (If-None-Match: *) or changes it (If-Match)."""

    request: Request
    response: Response
    if_match: str | None
    if_none_match: str | None
    key: str | None

    @property
    def condition(self) -> Condition:
        """What it is based on; 428 if that isn't said."""
        if self.if_none_match is not None:
            return Condition(there=False)
        if self.if_match is None:
            raise HTTPException(
                428, "say If-None-Match: * to make it, or in If-Match which version you change: its ETag, or *"
            )
        return based_on(self.if_match)

    def once(self, body: dict[str, Any]) -> Once | None:
        """Return its name if it may be repeated."""
        return once_of(self.request, self.key, body)

    def answer(self, view: dict[str, Any]) -> dict[str, Any]:
        """Tell whether something was made, and its ETag."""
        self.response.status_code = 201 if self.if_none_match else 200
        return tag(self.response, view)


def _setting(
    request: Request,
    response: Response,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> Setting:
    return Setting(request, response, if_match, if_none_match, idempotency_key)


Set = Annotated[Setting, Depends(_setting)]
