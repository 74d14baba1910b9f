"""LMTP, by which another MTA of ours hands mail over: a reply for each recipient after the text (RFC 2033)."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from typing import cast

from services.mta import replies
from services.mta.body import Body
from services.mta.client import Client, Transaction
from services.mta.connection import Farewell
from services.mta.session import _VERBS, MailSession
from shared.errors import MailFailure

EXTENSIONS = ("PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN", "HELP")


class LmtpSession(MailSession):
    """One client's commands; only this host and trusted networks have a say."""

    _taken: tuple[str, ...] = ()  # addresses of RCPTs that were accepted, an address twice if it came twice

    @property
    def _verbs(self) -> dict[str, Callable[[MailSession, str | None], Awaitable[None]]]:
        return _LMTP_VERBS

    async def _welcome(self) -> None:
        if not _is_ours(self._client):
            raise Farewell(replies.LMTP_ONLY_FROM_OURS)
        await self.push(replies.greeting(self._desk.hostname, "LMTP"))

    async def smtp_LHLO(self, hostname: str | None) -> None:
        """Greeting, and what we can (§4.1)."""
        await self._greet(hostname, extended=True)
        lines = [self._desk.hostname, *EXTENSIONS, f"SIZE {self._desk.limits.message_size}"]
        if self._desk.tls is not None and not self._client.tls:
            lines.append("STARTTLS")
        await self.push(replies.multiline(250, lines))

    async def smtp_HELO(self, hostname: str | None) -> None:
        """Refused: who greets so expects one reply to a text, not many (§4.1)."""
        raise replies.NOT_LMTP()

    async def smtp_EHLO(self, hostname: str | None) -> None:
        """Refused like HELO."""
        raise replies.NOT_LMTP()

    async def smtp_MAIL(self, arg: str | None) -> None:
        """Begin a message."""
        await super().smtp_MAIL(arg)
        self._taken = ()

    async def smtp_RCPT(self, arg: str | None) -> None:
        """Add a recipient, and note that it gets a reply after the text."""
        await super().smtp_RCPT(arg)
        self._taken += (_named(arg),)

    async def _finish(self, transaction: Transaction, body: Body) -> None:
        """Take the message over, and say of each recipient what became of it (§4.2)."""
        try:
            envelope = await self._take_over(transaction, body)
        except MailFailure as failure:
            await self._answer_each(replies.refusal(failure))
        except Farewell:
            raise
        except Exception as error:  # noqa: BLE001 - the edge: the client waits for all its replies
            self._desk.log.trouble("command failed", ip=self._client.ip, error=repr(error), exc_info=error)
            await self._answer_each(replies.INTERNAL_ERROR)
        else:
            for address in self._taken:
                await self.push(f"250 2.1.5 {address} queued as {envelope.id}")
            self._tell_acceptance(envelope, body.size)

    async def _answer_each(self, reply: bytes) -> None:
        for _ in self._taken:
            await self.push(reply)


def _is_ours(client: Client) -> bool:
    address = ipaddress.ip_address(client.ip.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return client.trusted or (mapped or address).is_loopback


def _named(argument: str | None) -> str:
    """Return the path of a RCPT that was accepted, as it was written."""
    return (argument or "").partition(":")[2].split(">", 1)[0].strip() + ">"


_OWN_VERBS = {
    "LHLO": LmtpSession.smtp_LHLO,
    "HELO": LmtpSession.smtp_HELO,
    "EHLO": LmtpSession.smtp_EHLO,
    "MAIL": LmtpSession.smtp_MAIL,
    "RCPT": LmtpSession.smtp_RCPT,
}
_LMTP_VERBS = cast(
    "dict[str, Callable[[MailSession, str | None], Awaitable[None]]]",
    {verb: method for verb, method in _VERBS.items() if verb not in ("AUTH", "BDAT")} | _OWN_VERBS,
)
