"""A client of another machine's API: requests with a token, refusals as our own failures."""

from __future__ import annotations

import ipaddress
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from shared.errors import ConfigurationError
from shared.operations.actor import Changed, NotFound
from shared.operations.paging import Page

TIMEOUT = 60.0  # seconds
PREFIX = "/api/v1"
ANY_VERSION = {"If-Match": "*"}
NEW = {"If-None-Match": "*"}
View = dict[str, Any]


class ApiClient:
    """Speaks to one API."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def page(self, path: str, cursor: str, limit: int, **query: str) -> Page:
        """Return a page of a list."""
        answer = await self.call("GET", path, query={**query, "cursor": cursor, "limit": str(limit)})
        return Page(answer["items"], answer["next"])

    async def listing(self, path: str, **query: str) -> list[View]:
        """Return a whole list."""
        found: list[View] = await self.call("GET", path, query=query)
        return found

    async def create(self, path: str, body: View) -> View:
        """Create under a key, so that a lost answer can be asked for again."""
        return await self.view("POST", path, body, {"Idempotency-Key": secrets.token_hex(16)})

    async def put(self, path: str, body: View, query: Mapping[str, str] | None = None) -> View:
        """Set something, whether it is there already or not."""
        try:
            new = {**NEW, "Idempotency-Key": secrets.token_hex(16)}
            return await self.view("PUT", path, body, new, query)
        except Changed:
            return await self.view("PUT", path, body, ANY_VERSION, query)

    async def view(
        self,
        method: str,
        path: str,
        body: View | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> View:
        """Make a request whose answer is one thing."""
        found: View = await self.call(method, path, body=body, query=query, headers=headers)
        return found

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: View | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Make a request; NotFound, Changed, or a ConfigurationError that says what the API said."""
        answer = await self._answer(method, path, body, query, headers)
        try:
            return answer.json() if answer.content else None
        except ValueError:
            raise self._stranger() from None

    async def octets(self, path: str) -> bytes:
        """Get what isn't JSON."""
        return (await self._answer("GET", path)).content

    async def _answer(
        self,
        method: str,
        path: str,
        body: View | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        given = {name: value for name, value in (query or {}).items() if value != ""}
        try:
            answer = await self._client.request(method, PREFIX + path, json=body, params=given, headers=headers)
            if not answer.is_success:
                raise _refusal(answer)
            return answer
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ConfigurationError(f"{self._client.base_url}: {error or type(error).__name__}") from None
        except ValueError:
            raise self._stranger() from None

    def _stranger(self) -> ConfigurationError:
        return ConfigurationError(f"{self._client.base_url} answers, but is no Packetboat API")


def connect(url: str) -> httpx.AsyncClient:
    """Return a client for an API; ConfigurationError without a token or where it would travel in the clear."""
    token = _token()
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"--url {url}: use https://HOST:PORT")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise ConfigurationError(f"--url {url}: a token travels only over https, or on this machine")
    return httpx.AsyncClient(base_url=url.rstrip("/"), timeout=TIMEOUT, headers={"Authorization": f"Bearer {token}"})


def _token() -> str:
    token, file = os.environ.get("PACKETBOAT_TOKEN", ""), os.environ.get("PACKETBOAT_TOKEN_FILE", "")
    if not token and file:
        token = Path(file).read_text(encoding="utf-8").strip()
    if not token.isascii() or not token.isprintable() or not token:
        raise ConfigurationError("set PACKETBOAT_TOKEN or PACKETBOAT_TOKEN_FILE: make one with `packetboat token add`")
    return token


def _refusal(answer: httpx.Response) -> ConfigurationError:
    problem = answer.json()
    said = str(problem.get("detail") or problem["title"])
    for error in problem.get("errors", []):
        said += f"; {error['where']}: {error['what']}"
    return {404: NotFound, 412: Changed}.get(answer.status_code, ConfigurationError)(said)


def part(text: str) -> str:
    """Return a text as a part of a path."""
    return quote(text, safe="")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
