"""rspamd over HTTP (its protocol.html): `/checkv2` with all of its actions, `/learnspam` and `/learnham`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import orjson

from shared.filters.configuration import Judgement, RspamdConfig
from shared.filters.failure import ScanFailed
from shared.filters.limits import MAX_ANSWER, MAX_CHANGES, MAX_RECIPIENTS_TOLD
from shared.filters.parcel import Parcel
from shared.message.verdict import Action, Change, HeaderChange, Verdict

ACTIONS = {
    "no action": Action.NONE,
    "accept": Action.NONE,
    "add header": Action.TAG,
    "rewrite subject": Action.SUBJECT,
    "greylist": Action.GREYLIST,
    "soft reject": Action.TEMPFAIL,
    "reject": Action.REJECT,
    "discard": Action.DISCARD,
    "quarantine": Action.QUARANTINE,
}
MAX_NUMBER = 1e6  # of scores and indexes
LEARNED_BEFORE = (204, 208)  # "is already learned", and "not enough tokens"


class Rspamd:
    """A client of one rspamd."""

    def __init__(self, config: RspamdConfig, hostname: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._config = config
        self._hostname = hostname
        limits = httpx.Limits(max_connections=config.connections, max_keepalive_connections=config.connections)
        self._http = httpx.AsyncClient(timeout=config.timeout, limits=limits, transport=transport, trust_env=False)

    async def scan(self, parcel: Parcel) -> Verdict:
        """Ask what it thinks; ScanFailed."""
        headers = [*self._facts(parcel), (b"Content-Length", str(parcel.size).encode())]
        answer = await self._post(f"{self._config.url}/checkv2", headers, parcel)
        return self._verdict(answer)

    async def learn(self, parcel: Parcel, *, spam: bool) -> bool:
        """Train it with a message; False when it knew it already. ScanFailed."""
        headers = [(b"Password", self._config.learn_password.encode())] if self._config.learn_password else []
        headers.append((b"Content-Length", str(parcel.size).encode()))
        path = "learnspam" if spam else "learnham"
        answer = await self._post(f"{self._config.learn_url}/{path}", headers, parcel)
        return bool(answer.get("success"))

    async def close(self) -> None:
        """Give up connections."""
        await self._http.aclose()

    async def _post(self, url: str, headers: list[tuple[bytes, bytes]], parcel: Parcel) -> dict[str, Any]:
        try:
            async with self._http.stream("POST", url, headers=headers, content=parcel.pieces()) as response:
                body = bytearray()
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) > MAX_ANSWER:
                        raise ScanFailed(f"{url}: an answer over {MAX_ANSWER} octets")
        except (httpx.HTTPError, OSError) as error:
            raise ScanFailed(f"{url}: {str(error) or type(error).__name__}") from None
        if response.status_code in LEARNED_BEFORE:
            return {}
        return _json(url, response.status_code, bytes(body))

    def _facts(self, parcel: Parcel) -> Iterator[tuple[bytes, bytes]]:
        """What rspamd wants to know beside the message."""
        facts = {
            "Queue-Id": parcel.entry,
            "From": parcel.sender,
            "IP": parcel.ip,
            "Helo": parcel.helo,
            "Hostname": parcel.hostname,
            "User": parcel.account,
            "MTA-Name": self._hostname,
            "MTA-Tag": parcel.listener,
            "TLS-Version": parcel.tls.partition(" ")[0],
            "Password": self._config.password,
        }
        for name, value in facts.items():
            if value or name == "From":
                yield name.encode(), _one_line(value)
        for recipient in parcel.recipients[:MAX_RECIPIENTS_TOLD]:
            yield b"Rcpt", _one_line(recipient)

    def _verdict(self, answer: Mapping[str, Any]) -> Verdict:
        said = answer.get("action")
        if not isinstance(said, str) or said not in ACTIONS:
            raise ScanFailed(f"rspamd's answer has the unknown action {str(said)[:80]!r}")
        action = ACTIONS[said]
        if action is Action.REJECT and self._config.reject is not Judgement.REJECT:
            action = Action(self._config.reject.value)
        messages = answer.get("messages")
        told = messages.get("smtp_message") if isinstance(messages, dict) else None
        return Verdict(
            self._config.name,
            action,
            kind="rspamd",
            score=_number(answer.get("score")),
            threshold=self._config.spam_score,
            symbols=tuple(_symbols(answer.get("symbols"))),
            reason=str(told) if told else "",
            subject=str(answer.get("subject") or "") if action is Action.SUBJECT else "",
            changes=tuple(_changes(answer.get("milter")))[:MAX_CHANGES],
        )


def _json(url: str, status: int, body: bytes) -> dict[str, Any]:
    try:
        answer = orjson.loads(body)
    except ValueError:
        answer = None
    if status != 200 or not isinstance(answer, dict) or "error" in answer:
        said = answer.get("error") if isinstance(answer, dict) else ""
        raise ScanFailed(f"{url}: status {status} {str(said)[:200]}".rstrip())
    return answer


def _symbols(symbols: Any) -> Iterator[str]:
    if isinstance(symbols, dict):
        found = [(name, _number(one.get("score")) or 0.0) for name, one in symbols.items() if isinstance(one, dict)]
        for name, score in sorted(found, key=lambda item: -abs(item[1])):
            yield f"{name}({score:.2f})"


def _changes(milter: Any) -> Iterator[HeaderChange]:
    """Read the `milter` block: remove_headers {name: index}, add_headers {name: value | {value, order} | list}."""
    if not isinstance(milter, dict):
        return
    removed = milter.get("remove_headers")
    for name, index in removed.items() if isinstance(removed, dict) else ():
        yield HeaderChange(Change.REMOVE, str(name), index=max(int(_number(index) or 0), 0))
    added = milter.get("add_headers")
    for name, values in added.items() if isinstance(added, dict) else ():
        for value in values if isinstance(values, list) else [values]:
            order = value.get("order") if isinstance(value, dict) else None
            text = value.get("value", "") if isinstance(value, dict) else value
            octets = str(text).encode("utf-8", "replace")
            if isinstance(order, int) and order >= 0:
                yield HeaderChange(Change.INSERT, str(name), octets, order)
            else:
                yield HeaderChange(Change.ADD, str(name), octets)


def _number(value: Any) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return None
    return min(max(float(value), -MAX_NUMBER), MAX_NUMBER)


def _one_line(value: str) -> bytes:
    return " ".join(value.split()).encode("utf-8", "surrogateescape")
