"""STARTTLS, LOGIN and AUTHENTICATE (RFC 3501 §6.2, RFC 4959)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.access.imap.capability import capabilities, may_authenticate
from services.access.imap.outcome import Outcome, done, refused, rejected
from shared.errors import MailFailure
from shared.imap import command as commands
from shared.imap import response
from shared.sasl.credentials import BadCredentials, Credentials, credentials
from shared.sasl.exchange import Exchange, encode
from shared.sasl.mechanism import Challenge, Reason, Refused, Step

if TYPE_CHECKING:
    from services.access.imap.session import ImapSession
    from shared.directory import Account

PROTOCOL = "imap"
_NEEDS_TLS = refused(b"Use STARTTLS first", response.PRIVACYREQUIRED)
_WRONG = refused(b"Wrong name or password", response.AUTHENTICATIONFAILED)


async def start_tls(session: ImapSession, command: commands.StartTls) -> Outcome | None:
    """Begin TLS; whatever the client sent before the handshake is forgotten (RFC 3501 §6.2.1)."""
    if session.connection.is_tls:
        return rejected(b"TLS is active already")
    session.write(response.ok(command.tag, b"Begin TLS now"))
    session.buffer.clear()
    await session.connection.start_tls()
    return None


async def log_in(session: ImapSession, command: commands.Login) -> Outcome:
    """Log in with a name and a password."""
    if not may_authenticate(session):
        return _NEEDS_TLS
    try:
        claimed = credentials(command.user, command.password)
    except BadCredentials:
        return _WRONG
    return await _verify(session, claimed)


async def authenticate(session: ImapSession, command: commands.Authenticate) -> Outcome | None:
    """Log in by a SASL mechanism; None while its client has to respond."""
    if not may_authenticate(session):
        return _NEEDS_TLS
    exchange = Exchange(session.connection.mechanisms, session.connection.bindings)
    return await _follow(session, command.tag, exchange, exchange.begin(command.mechanism, command.initial_response))


async def take_response(session: ImapSession, line: bytes) -> None:
    """Go on with AUTHENTICATE."""
    assert session.exchange is not None
    tag, exchange = session.exchange
    session.exchange = None
    try:
        outcome = await _follow(session, tag, exchange, exchange.receive(line))
    except Exception as error:  # noqa: BLE001 - the session goes on
        outcome = session.failure(error, "Authenticate")
    if outcome is not None:
        await session.finish(commands.Authenticate(tag, b""), outcome)


async def _follow(session: ImapSession, tag: bytes, exchange: Exchange, step: Step) -> Outcome | None:
    try:
        answer = await session.desk.logins.answer(PROTOCOL, session.connection.ip, exchange, step)
    except MailFailure as failure:
        return refused(failure.text.encode("ascii", "replace"), response.UNAVAILABLE)
    match answer:
        case Challenge():
            session.exchange = (tag, exchange)
            session.buffer.expect_line()
            session.write(response.continuation(encode(answer)))
            return None
        case Refused(Reason.WRONG_PROOF):
            return _conclude(session, None)
        case Refused(Reason.WRONG_AUTHZID as reason):
            return refused(reason.value.encode("ascii"), response.AUTHORIZATIONFAILED)
        case Refused(reason):
            text = reason.value.encode("ascii")
            wrong = reason in (Reason.MALFORMED, Reason.TOO_LONG, Reason.CANCELLED)
            return rejected(text) if wrong else refused(text, response.AUTHENTICATIONFAILED)
        case account:
            return _conclude(session, account)


async def _verify(session: ImapSession, claimed: Credentials) -> Outcome:
    try:
        account = await session.desk.logins.login(PROTOCOL, session.connection.ip, claimed)
    except MailFailure as failure:
        return refused(failure.text.encode("ascii", "replace"), response.UNAVAILABLE)
    return _conclude(session, account)


def _conclude(session: ImapSession, account: Account | None) -> Outcome:
    if account is not None:
        session.logged_in(account)
        return done(b"Logged in", response.code_capability(capabilities(session)))
    session.failed_logins += 1
    if session.failed_logins >= session.desk.limits.failed_logins:
        session.end(b"Too many failed logins")
    return _WRONG
