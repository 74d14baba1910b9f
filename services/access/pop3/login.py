"""STLS, CAPA, USER and PASS, AUTH: before and at login (RFC 1939 §4, §7, RFC 2449, RFC 2595, RFC 5034)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.access.pop3.readahead import ReadAhead
from shared.errors import MailFailure, PacketboatError
from shared.imap.mailbox_name import INBOX
from shared.pop3 import command as commands
from shared.pop3 import response
from shared.pop3.maildrop import Maildrop
from shared.sasl.credentials import BadCredentials, Credentials, credentials
from shared.sasl.exchange import Exchange, encode
from shared.sasl.mechanism import Challenge, Reason, Refused, Step

if TYPE_CHECKING:
    from services.access.pop3.session import Pop3Session
    from shared.directory import Account

PROTOCOL = "pop3"
_NEEDS_TLS = response.err(b"Use STLS first")
_WRONG = response.err(b"Wrong name or password", response.AUTH)


def may_authenticate(session: Pop3Session) -> bool:
    """Say whether a password may be sent on this connection."""
    return session.connection.is_tls or session.desk.plaintext_auth


async def capabilities(session: Pop3Session, command: commands.Capa) -> bytes:
    """Tell what is offered."""
    names = [b"TOP", b"UIDL", b"RESP-CODES", b"AUTH-RESP-CODE", b"PIPELINING", b"UTF8 USER", b"LANG"]
    names += [b"EXPIRE NEVER", b"LOGIN-DELAY %d" % session.desk.limits.pop3_login_delay]
    if may_authenticate(session):  # in both states (RFC 2449 §6)
        names += [b"USER", b"SASL " + b" ".join(session.connection.mechanisms)]
    names += [b"STLS"] if session.account is None and not session.connection.is_tls else []
    return response.capabilities([*names, b"IMPLEMENTATION Packetboat"])


async def start_tls(session: Pop3Session, command: commands.Stls) -> bytes | None:
    """Begin TLS; whatever the client sent before the handshake is forgotten."""
    if session.connection.is_tls:
        return response.err(b"TLS is active already")
    session.write(response.ok(b"Begin TLS now"))
    session.buffer.clear()
    session.name = b""
    await session.connection.start_tls()
    return None


async def user(session: Pop3Session, command: commands.User) -> bytes:
    """Take a name; whether there is such an account is told by nobody."""
    if not may_authenticate(session):
        return _NEEDS_TLS
    session.name = command.name
    return response.ok(b"Send PASS")


async def password(session: Pop3Session, command: commands.Pass) -> bytes:
    """Log in with the name before and this password."""
    name, session.name = session.name, b""
    if not name:
        return response.err(b"Send USER first")
    try:
        claimed = credentials(name, command.password)
    except BadCredentials:
        return _WRONG
    return await _verify(session, claimed)


async def auth(session: Pop3Session, command: commands.Auth) -> bytes | None:
    """Log in by a SASL mechanism."""
    if not may_authenticate(session):
        return _NEEDS_TLS
    exchange = Exchange(session.connection.mechanisms, session.connection.bindings)
    return await _follow(session, exchange, exchange.begin(command.mechanism, command.initial_response))


async def mechanisms(session: Pop3Session, command: commands.Mechanisms) -> bytes:
    """List the SASL mechanisms, as clients older than CAPA ask for them."""
    if not may_authenticate(session):
        return _NEEDS_TLS
    return response.mechanisms(session.connection.mechanisms)


async def take_response(session: Pop3Session, line: bytes) -> bytes | None:
    """Go on with AUTH."""
    exchange = session.exchange
    assert exchange is not None
    session.await_response(None)
    return await _follow(session, exchange, exchange.receive(line))


async def _follow(session: Pop3Session, exchange: Exchange, step: Step) -> bytes | None:
    try:
        answer = await session.desk.logins.answer(PROTOCOL, session.connection.ip, exchange, step)
    except MailFailure as failure:
        return response.err(failure.text.encode("ascii", "replace"), response.SYS_TEMP)
    match answer:
        case Challenge():
            session.await_response(exchange)
            session.write(response.challenge(encode(answer)))
            return None
        case Refused(Reason.WRONG_PROOF):
            return await _conclude(session, None)
        case Refused((Reason.WRONG_AUTHZID | Reason.CHANNEL_BINDING) as reason):
            return response.err(reason.value.encode("ascii"), response.AUTH)
        case Refused(reason):
            return response.err(reason.value.encode("ascii"))  # the credentials are not what is wrong (RFC 3206 §4)
        case account:
            return await _conclude(session, account)


async def _verify(session: Pop3Session, claimed: Credentials) -> bytes:
    try:
        account = await session.desk.logins.login(PROTOCOL, session.connection.ip, claimed)
    except MailFailure as failure:
        return response.err(failure.text.encode("ascii", "replace"), response.SYS_TEMP)
    return await _conclude(session, account)


async def _conclude(session: Pop3Session, account: Account | None) -> bytes:
    if account is None:
        session.failed_logins += 1
        if session.failed_logins >= session.desk.limits.failed_logins:
            session.end(b"Too many failed logins")
        return _WRONG
    if await session.desk.is_too_soon(account.id):
        return response.err(b"Wait before you log in again", response.LOGIN_DELAY)
    claim = session.desk.claim(account.id)
    if not await claim.hold():
        return response.err(b"Another session has the mailbox", response.IN_USE)
    session.claim = claim
    try:
        await _open(session, account.id)
    except PacketboatError:
        session.claim = None
        await claim.give_up()  # the client may try again on this connection
        raise
    claim.attend(session.desk.clean_up)
    session.account = account
    return response.ok(b"%d messages" % session.maildrop.count)


async def _open(session: Pop3Session, account_id: int) -> None:
    """Take INBOX as it is now: the session's messages and their numbers."""
    inbox = await session.desk.mailboxes.get(account_id, INBOX)
    found = await session.desk.messages.select(inbox.id)
    messages: list[tuple[int, int]] = []
    async for rows in session.desk.messages.fetch_rows(inbox.id, found.uids):
        messages += [(row[0], row[4]) for row in rows]
    session.maildrop = Maildrop(messages)
    session.mailbox_id = inbox.id
    session.uidvalidity = inbox.uidvalidity
    session.ahead = ReadAhead(session.desk, inbox.id)
