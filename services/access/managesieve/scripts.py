"""The commands that keep scripts (RFC 5804 §2.5-2.12)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.managesieve import response
from shared.managesieve.command import Command
from shared.operations.scripts import Owner

if TYPE_CHECKING:
    from services.access.managesieve.session import SieveSession


async def have_space(session: SieveSession, command: Command) -> bytes:
    """Say whether a script of a size can be kept."""
    await session.desk.scripts.check_space(_owner(session), command.text(0), command.number(1))
    return response.ok()


async def check(session: SieveSession, command: Command) -> bytes:
    """Say what is wrong with a script."""
    await session.desk.scripts.check(command.octets(0))
    return response.ok()


async def put(session: SieveSession, command: Command) -> bytes:
    """Keep a script."""
    await session.desk.scripts.put(_owner(session), command.text(0), command.octets(1))
    return response.ok()


async def list_scripts(session: SieveSession, command: Command) -> bytes:
    """Tell the names, and which one is active."""
    found = await session.desk.scripts.listing(_owner(session))
    active = next((script.name for script in found if script.active), None)
    return response.script_list([script.name for script in found], active) + response.ok()


async def set_active(session: SieveSession, command: Command) -> bytes:
    """Have a script run, or none for an empty name."""
    await session.desk.scripts.activate(_owner(session), command.text(0))
    return response.ok()


async def get(session: SieveSession, command: Command) -> bytes:
    """Return a script."""
    content = await session.desk.scripts.get(_owner(session), command.text(0))
    return response.script_body(content) + response.ok()


async def delete(session: SieveSession, command: Command) -> bytes:
    """Delete a script that isn't active."""
    await session.desk.scripts.delete(_owner(session), command.text(0))
    return response.ok()


async def rename(session: SieveSession, command: Command) -> bytes:
    """Give a script another name."""
    await session.desk.scripts.rename(_owner(session), command.text(0), command.text(1))
    return response.ok()


def _owner(session: SieveSession) -> Owner:
    assert session.account is not None
    return Owner.account(session.account.id, session.account.address)
