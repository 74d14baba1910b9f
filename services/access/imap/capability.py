"""CAPABILITY, ID, NAMESPACE, ENABLE, NOOP, CHECK, LOGOUT: what needs no mailbox (RFC 3501 §6.1, §6.4.1)."""

from __future__ import annotations

from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING

from services.access.imap.outcome import Outcome, done
from shared.imap import command as commands
from shared.imap import response
from shared.imap.acl import NEW_RIGHTS

if TYPE_CHECKING:
    from services.access.imap.session import ImapSession

_ALWAYS = (
    b"IMAP4rev1",
    b"IMAP4rev2",
    b"SASL-IR",
    b"ID",
    b"IDLE",
    b"ENABLE",
    b"CONDSTORE",
    b"QRESYNC",
    b"UIDONLY",
    b"NOTIFY",
    b"NAMESPACE",
    b"UIDPLUS",
    b"UNSELECT",
    b"CHILDREN",
    b"LIST-EXTENDED",
    b"LIST-STATUS",
    b"LIST-METADATA",
    b"LIST-MYRIGHTS",
    b"SPECIAL-USE",
    b"CREATE-SPECIAL-USE",
    b"STATUS=SIZE",
    b"QUOTA",
    b"QUOTA=RES-STORAGE",
    b"QUOTA=RES-MESSAGE",
    b"METADATA",
    b"ACL",
    b"RIGHTS=" + NEW_RIGHTS.encode("ascii"),
    b"MOVE",
    b"MULTIAPPEND",
    b"CATENATE",
    b"REPLACE",
    b"BINARY",
    b"PREVIEW",
    b"SAVEDATE",
    b"OBJECTID",
    b"UTF8=ACCEPT",
    b"ESEARCH",
    b"SEARCHRES",
    b"WITHIN",
    b"SEARCH=FUZZY",
    b"MULTISEARCH",
    b"SORT",
    b"SORT=DISPLAY",
    b"ESORT",
    b"THREAD=ORDEREDSUBJECT",
    b"THREAD=REFERENCES",
    b"CONTEXT=SEARCH",
    b"CONTEXT=SORT",
    b"PARTIAL",
    b"INPROGRESS",
    b"I18NLEVEL=1",
)
# Non-synchronising literals of any length only from clients that are known (RFC 7888 §5)
_BEFORE_LOGIN = (b"LITERAL-",)
_AFTER_LOGIN = (b"LITERAL+", b"COMPRESS=DEFLATE")


def may_authenticate(session: ImapSession) -> bool:
    """Say whether a password may be sent on this connection."""
    return session.connection.is_tls or session.desk.plaintext_auth


def capabilities(session: ImapSession) -> tuple[bytes, ...]:
    """Return what is offered in the session's state."""
    if session.account is not None:
        unauthenticate = (b"UNAUTHENTICATE",) if session.desk.limits.unauthenticate else ()
        return (*_ALWAYS, *_AFTER_LOGIN, b"APPENDLIMIT=%d" % session.desk.limits.message_size, *unauthenticate)
    security = () if session.connection.is_tls else (b"STARTTLS",)
    return (*_ALWAYS, *_BEFORE_LOGIN, *security, *_login(session))


def _login(session: ImapSession) -> tuple[bytes, ...]:
    if not may_authenticate(session):
        return (b"LOGINDISABLED",)
    return tuple(b"AUTH=" + name for name in session.connection.mechanisms)


async def capability(session: ImapSession, command: commands.Capability) -> Outcome:
    """Tell what is offered."""
    session.write(response.capability(capabilities(session)))
    return done(b"CAPABILITY completed")


@cache
def server_id() -> dict[bytes, bytes | None]:
    """Return what ID tells of us; the version only where the package is installed."""
    try:
        version = metadata.version("packetboat").encode("ascii")
    except metadata.PackageNotFoundError:
        version = None
    return {b"name": b"Packetboat", b"version": version}


async def identify(session: ImapSession, command: commands.Id) -> Outcome:
    """Tell who we are, and note who the client says it is (RFC 2971)."""
    said = {
        name.decode("ascii", "replace"): (value or b"").decode(errors="replace")
        for name, value in command.parameters or ()
    }
    session.desk.log.debug("client named itself", ip=session.connection.ip, client=said)
    session.write(response.server_id(server_id()))
    return done(b"ID completed")


async def nothing(session: ImapSession, command: commands.Noop | commands.Check) -> Outcome:
    """Do nothing: the session reports what has changed."""
    return done(b"Completed")


async def logout(session: ImapSession, command: commands.Logout) -> Outcome:
    """End the session."""
    return done(b"LOGOUT completed", untagged=response.bye(b"Logging out"))
