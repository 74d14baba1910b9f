"""Creation that may be repeated: an idempotency key makes the repeat's answer the first one's."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from shared.db import Work, load
from shared.errors import ConfigurationError
from shared.operations.actor import Reused

MAX_KEY = 200  # characters
KEPT = 86_400 * 1_000_000  # microseconds that an answer is kept
SECRETS = ("password", "password_hash", "token")  # neither hashed into a fingerprint nor kept

sql = load("admin")


@dataclass(frozen=True, slots=True)
class Once:
    """A request to create something, as its client names it."""

    who: str
    key: str
    fingerprint: str

    @classmethod
    def of(cls, who: str, key: str, path: str, body: Mapping[str, Any]) -> Once:
        """Name a request; ConfigurationError for a key that is none."""
        if not 1 <= len(key) <= MAX_KEY or not key.isprintable():
            raise ConfigurationError(f"an idempotency key has 1 to {MAX_KEY} printable characters")
        plain = {name: value for name, value in body.items() if name not in SECRETS}
        digest = hashlib.sha256(orjson.dumps([path, plain], option=orjson.OPT_SORT_KEYS)).hexdigest()
        return cls(who, key, digest)


def once(request: Once | None, work: Work[dict[str, Any]], now: int) -> Work[dict[str, Any]]:
    """Do the work unless it was done under this key; Reused if that was another request's."""
    if request is None:
        return (yield from work)
    rows = yield sql.idempotent(token=request.who, key=request.key)
    if rows:
        work.close()
        if rows[0]["fingerprint"] != request.fingerprint:
            raise Reused("this idempotency key was used for another request")
        stored: dict[str, Any] = orjson.loads(rows[0]["body"])
        return stored
    view = yield from work
    kept = {name: value for name, value in view.items() if name not in SECRETS}
    yield sql.insert_idempotent(
        token=request.who, key=request.key, fingerprint=request.fingerprint, body=orjson.dumps(kept).decode(), at=now
    )
    return view
