r"""Special uses of mailboxes: \Sent, \Junk and the like (RFC 6154)."""

from __future__ import annotations

from collections.abc import Iterable

USES = ("\\Archive", "\\Drafts", "\\Important", "\\Junk", "\\Sent", "\\Trash")
r"""Those that a mailbox can have; \All and \Flagged would be of mailboxes that hold no messages of their own."""

_BY_LOWER = {use.lower(): use for use in USES}


class UnknownUse(ValueError):
    """A special use that no mailbox here can have: answer NO [USEATTR] (§3)."""


def parse_uses(names: Iterable[bytes]) -> str:
    """Return special uses space-joined, each once, in the standard's spelling; raises UnknownUse."""
    found: dict[str, None] = {}
    for name in names:
        use = _BY_LOWER.get(name.decode("latin-1").lower())
        if use is None:
            raise UnknownUse("No mailbox here can have that use")
        found[use] = None
    return " ".join(found)
