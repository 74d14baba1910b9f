"""What went wrong, as problem details (RFC 9457): one table from our failures to statuses."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException

from shared.db import Conflict
from shared.errors import PacketboatError, TemporaryFailure
from shared.mailbox.errors import HasChildren, MailboxExists, NoSuchMailbox
from shared.operations.actor import AlreadyThere, Away, Changed, NotFound, Reused
from shared.operations.scripts import BadScript, IsActive

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = "5"  # seconds, with 503
EVERYWHERE = (400, 413, 414)  # malformed, or beyond the limits
MAX_ERRORS = 20  # of one request that are told

log = structlog.get_logger(__name__)

STATUSES: tuple[tuple[type[Exception], int], ...] = (  # the first that fits
    (NotFound, 404),
    (AlreadyThere, 409),
    (IsActive, 409),
    (Conflict, 409),
    (NoSuchMailbox, 404),
    (MailboxExists, 409),
    (HasChildren, 409),
    (Changed, 412),
    (Reused, 422),
    (Away, 503),
    (TemporaryFailure, 503),
    (RedisError, 503),
    (OSError, 503),
    (PacketboatError, 422),
)


class Problem(BaseModel):
    """Problem details."""

    type: str = Field("about:blank", examples=["about:blank"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field("", examples=["there is no account nobody@example.org"])
    errors: list[dict[str, Any]] = Field([], description="What is wrong with a request, place by place.")


def install(app: FastAPI) -> None:
    """Answer every failure with problem details."""
    for kind, _ in STATUSES:
        app.add_exception_handler(kind, _failed)
    app.add_exception_handler(BadScript, _bad_script)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _crashed)


def problem(
    status: int, detail: str, *, errors: list[dict[str, Any]] | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return a response that says what is wrong."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    if errors:
        body["errors"] = errors
    return JSONResponse(body, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI's description of these failures."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in sorted({*EVERYWHERE, *statuses})
    }


def documented_setting(model: type[BaseModel], *statuses: int) -> dict[int | str, dict[str, Any]]:
    """The same of a PUT, which may also make what it sets."""
    return {**documented(*statuses), 201: {"description": "Created", "model": model}}


async def _failed(request: Request, error: Exception) -> JSONResponse:
    status = next(status for kind, status in STATUSES if isinstance(error, kind))
    if status == 503:
        log.warning("request failed", path=request.url.path, error=str(error))
        return problem(status, str(error), headers={"Retry-After": RETRY_AFTER})
    return problem(status, str(error))


async def _bad_script(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, BadScript)
    errors = [{"where": f"body.content:{one.line}:{one.column}", "what": one.message} for one in error.errors]
    return problem(422, "the script has errors", errors=errors[:MAX_ERRORS])


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, str(error.detail), headers=error.headers)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors = [
        {"where": ".".join(str(part) for part in one["loc"]), "what": str(one["msg"])}
        for one in error.errors()[:MAX_ERRORS]
    ]
    return problem(422, "the request is not what it should be", errors=errors)


async def _crashed(request: Request, error: Exception) -> JSONResponse:
    log.error("request crashed", path=request.url.path, error=repr(error), exc_info=error)
    return problem(500, "an internal error: the admin service's log says more")
