"""Greeting, CAPABILITY, STARTTLS, AUTHENTICATE, UNAUTHENTICATE, NOOP, LOGOUT (RFC 5804 §1.7, §2.1-2.4, §2.13-2.14)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.errors import MailFailure
from shared.managesieve import response
from shared.managesieve.command import Command
from shared.managesieve.response import Code
from shared.sasl.exchange import Exchange, encode
from shared.sasl.mechanism import Challenge, Reason, Refused, Step
from shared.sieve.host import LANGUAGE
from shared.sieve.limits import DEFAULT

if TYPE_CHECKING:
    from services.access.managesieve.session import SieveSession
    from shared.directory import Account

PROTOCOL = "managesieve"
_WRONG = response.no("Wrong name or password")


def greeting(session: SieveSession) -> bytes:
    """Return what is offered, as it is told on connecting and after STARTTLS."""
    return _capabilities(session) + response.ok("Packetboat is ready")


async def capability(session: SieveSession, command: Command) -> bytes:
    """Tell what is offered now."""
    return _capabilities(session) + response.ok()


async def start_tls(session: SieveSession, command: Command) -> bytes | None:
    """Begin TLS; whatever the client sent before the handshake is forgotten."""
    if session.connection.is_tls:
        return response.no("TLS is active already")
    session.write(response.ok("Begin TLS now"))
    session.receiver.take()
    await session.connection.start_tls()
    session.write(greeting(session))
    return None


async def authenticate(session: SieveSession, command: Command) -> bytes | None:
    """Log in by a SASL mechanism."""
    if not _may_authenticate(session):
        return response.no("Use STARTTLS first", Code.ENCRYPT_NEEDED)
    exchange = Exchange(session.connection.mechanisms, session.connection.bindings)
    initial = (command.octets(1) or b"=") if len(command.arguments) > 1 else None
    name = command.text(0).encode("ascii", "replace")
    return await _follow(session, exchange, exchange.begin(name, initial))


async def take_response(session: SieveSession, exchange: Exchange, data: bytes) -> bytes | None:
    """Go on with AUTHENTICATE."""
    return await _follow(session, exchange, exchange.receive(data))


async def unauthenticate(session: SieveSession, command: Command) -> bytes:
    """Be nobody again (RFC 5804 §2.14.1)."""
    session.log_in(None)
    return response.ok()


async def noop(session: SieveSession, command: Command) -> bytes:
    """Answer, with the client's tag if it gave one."""
    return response.ok_tag(command.text(0)) if command.arguments else response.ok()


async def logout(session: SieveSession, command: Command) -> None:
    """Say so and close."""
    session.write(response.ok("Goodbye"))
    session.connection.close()


def _capabilities(session: SieveSession) -> bytes:
    may = _may_authenticate(session)
    return (
        response.capabilities(
            implementation="Packetboat",
            mechanisms=[name.decode() for name in session.connection.mechanisms] if may else (),
            extensions=LANGUAGE.capabilities,
            starttls=not session.connection.is_tls and session.account is None,
            max_redirects=DEFAULT.redirects,
            owner=session.account.address if session.account is not None else "",
        )
        + b'"UNAUTHENTICATE"\r\n'
    )


def _may_authenticate(session: SieveSession) -> bool:
    return session.connection.is_tls or session.desk.plaintext_auth


async def _follow(
    session: SieveSession, exchange: Exchange, step: Step, last_word: Challenge | None = None
) -> bytes | None:
    """Go on until the client has to answer; a mechanism's last word is told with the OK (§2.1)."""
    try:
        answer = await session.desk.logins.answer(PROTOCOL, session.connection.ip, exchange, step)
    except MailFailure as failure:
        return response.no(failure.text, Code.TRY_LATER)
    match answer:
        case Challenge(is_last=True):
            return await _follow(session, exchange, exchange.receive(b""), answer)
        case Challenge():
            session.exchange = exchange
            session.write(response.challenge(encode(answer)))
            return None
        case Refused(Reason.WRONG_PROOF):
            return _failed(session)
        case Refused(reason):
            return response.no(reason.value)
        case account:
            _logged_in(session, account)
            return response.ok("Logged in") if last_word is None else response.ok_sasl(encode(last_word), "Logged in")


def _failed(session: SieveSession) -> bytes | None:
    session.failed_logins += 1
    if session.failed_logins < session.desk.limits.failed_logins:
        return _WRONG
    session.write(_WRONG)
    session.end("Too many failed logins")
    return None


def _logged_in(session: SieveSession, account: Account) -> None:
    session.failed_logins = 0
    session.log_in(account)
