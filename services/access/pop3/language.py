"""UTF8 and LANG (RFC 6856).

Messages are always sent as they are stored, as clients of POP3 have known it for long, so UTF8 changes
nothing that a client sees; texts of responses are English.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.pop3 import command as commands
from shared.pop3 import response

if TYPE_CHECKING:
    from services.access.pop3.session import Pop3Session

LANGUAGE, NAME = b"en", b"English"


async def utf8(session: Pop3Session, command: commands.Utf8) -> bytes:
    """Take the client at its word that it can read UTF-8."""
    return response.ok(b"UTF8 enabled")


async def language(session: Pop3Session, command: commands.Lang) -> bytes:
    """List the languages, or take one."""
    if command.tag is None:
        return response.languages([(LANGUAGE, NAME)])
    if command.tag == b"*" or command.tag.lower().partition(b"-")[0] == LANGUAGE:
        return response.ok(LANGUAGE + b" " + NAME)
    return response.err(b"There is only " + LANGUAGE)
