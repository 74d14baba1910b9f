"""Failures as NO responses with their codes (RFC 5804 §1.3)."""

from __future__ import annotations

from shared.errors import MailFailure, PacketboatError
from shared.managesieve import response
from shared.managesieve.response import Code
from shared.operations.actor import AlreadyThere, NotFound
from shared.operations.scripts import BadScript, IsActive, QuotaReached

_QUOTAS = {"scripts": Code.QUOTA_SCRIPTS, "size": Code.QUOTA_SIZE, "total": Code.QUOTA}


def of_failure(error: PacketboatError) -> bytes:
    """Return what to answer when a command ended with one of our own errors."""
    match error:
        case BadScript():
            return response.no("\r\n".join(str(problem) for problem in error.errors))
        case QuotaReached():
            return response.no(str(error), _QUOTAS[error.what])
        case NotFound():
            return response.no(str(error), Code.NONEXISTENT)
        case AlreadyThere():
            return response.no(str(error), Code.ALREADY_EXISTS)
        case IsActive():
            return response.no(str(error), Code.ACTIVE)
        case MailFailure():
            return response.no("Temporary failure; try later", Code.TRY_LATER)
        case _:
            return response.no(str(error))
