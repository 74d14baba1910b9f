"""The API: routes under /api/v1, problems, limits; its description is at /openapi.json."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.admin import problems
from services.admin.routes import (
    accounts,
    aliases,
    domains,
    history,
    mailboxes,
    quarantine,
    queue,
    retention,
    scripts,
    targets,
    tokens,
)
from shared.metrics import API_REQUESTS
from shared.operations.operator import Office

PREFIX = "/api/v1"
PARTS = (
    domains, accounts, aliases, mailboxes, scripts, retention, targets, queue, quarantine, history, tokens,
)  # fmt: skip
MAX_TARGET = 8192  # octets of a request's path and query
MAX_BODY = 1024 * 1024  # octets
HEADERS = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]


def make_api(office: Office, *, max_body: int = MAX_BODY) -> ASGIApp:
    """Return the ASGI application."""
    app = FastAPI(
        title="Packetboat",
        version="1",
        summary="The operator's API of a mail stack: directory, mail, queue, quarantine, trace.",
        description="Lists are paged: ask for the `next` of a page until it is empty. Changes want the ETag of what "
        "they change in If-Match. Failures are problem details (RFC 9457).",
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    app.state.office = office
    for part in PARTS:
        app.include_router(part.router, prefix=PREFIX)
    problems.install(app)
    _describe(app)
    return Limits(app, max_body)


def _describe(app: FastAPI) -> None:
    """Add to the description what FastAPI can't know: the problems' schema."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        description = plain()
        schemas = description["components"]["schemas"]
        schemas["Problem"] = problems.Problem.model_json_schema()
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        return description

    app.openapi = openapi  # type: ignore[method-assign]


class Limits:
    """Refuses what is too long or malformed before anything reads it, and counts answers."""

    def __init__(self, app: ASGIApp, max_body: int) -> None:
        self.app = app
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        method = scope["method"] if scope["method"] in _METHODS else "other"

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                API_REQUESTS.labels(method, str(message["status"])).inc()
                message = {**message, "headers": [*message.get("headers", []), *HEADERS]}
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await problems.problem(*refusal)(scope, receive, answer)
            return
        body = await self._body(receive)
        if body is None:
            await problems.problem(413, f"a request's body has at most {self._max_body} octets")(scope, receive, answer)
            return
        await self.app(scope, _Replay(body, receive), answer)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MAX_TARGET:
            return 414, f"a request's path and query have at most {MAX_TARGET} octets"
        query = scope["query_string"].lower()
        if not scope["path"].isprintable() or b"%00" in query or "\ufffd" in scope["path"]:
            return 400, "a path is printable UTF-8"
        return None

    async def _body(self, receive: Receive) -> bytes | None:
        body = b""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return body
            piece: bytes = message.get("body", b"")
            body += piece
            if len(body) > self._max_body:
                return None
            if not message.get("more_body"):
                return body


class _Replay:
    """Gives a body that was read already."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        return await self._receive()


_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
