"""What a client that comes back is told of messages that went meanwhile (RFC 7162 §3.2.5)."""

from __future__ import annotations

from shared.imap.command import Resync
from shared.imap.sequence import Range, count, intersect, subtract
from shared.imap.view import View


def known_uids(resync: Resync, uidnext: int) -> tuple[Range, ...]:
    """Return the UIDs that the client may know: all below UIDNEXT unless it says which."""
    everything = ((1, uidnext - 1),) if uidnext > 1 else ()
    return everything if resync.uids is None else intersect(resync.uids.resolve(0), everything)


def unaffected_up_to(resync: Resync, view: View) -> int:
    """Return the largest UID up to which the client has lost nothing, 0 if there is none it can be sure of.

    A message that has kept its sequence number has lost none of those before it; so once one of the pairs
    doesn't agree the later ones don't either.
    """
    sequences, uids = View(resync.sequences), View(resync.sequence_uids)
    low, high = 0, count(resync.sequences)
    while low < high:
        middle = (low + high + 1) // 2
        if view.sequence(uids.uid(middle)) == sequences.uid(middle):
            low = middle
        else:
            high = middle - 1
    return uids.uid(low) if low else 0


def vanished_of(
    resync: Resync, vanished: tuple[Range, ...], view: View, uidnext: int, *, is_exact: bool
) -> tuple[Range, ...]:
    """Return what to report as VANISHED (EARLIER); the sequence match helps where expunges were forgotten."""
    gone = intersect(vanished, known_uids(resync, uidnext))
    if is_exact or not gone:
        return gone
    return subtract(gone, ((1, unaffected_up_to(resync, view)),))
