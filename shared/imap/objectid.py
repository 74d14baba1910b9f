"""EMAILID and THREADID of a message: the same for ever, on every replica and in every mailbox (RFC 8474).

Both follow from what a message is, so that nothing has to be stored or agreed on. A thread is what has the same
root: the first message id that a message refers to (References before In-Reply-To), or else its own.
"""

from __future__ import annotations

from hashlib import blake2b

ID_BYTES = 15
"""Octets of a root's hash: a clash needs 10^18 threads."""


def email_id(entry: str) -> bytes:
    """Return the EMAILID of what came into the journal as `entry`: copies of a message share it."""
    return b"M" + entry.encode("ascii")


def thread_id(entry: str, message_id: str, refs: str) -> bytes:
    """Return the THREADID of a message that refers to `refs` (message ids joined by spaces).

    A message without any message id is a thread of its own.
    """
    root = refs.partition(" ")[0] or message_id
    if not root:
        return b"T" + entry.encode("ascii")
    return b"T" + blake2b(root.encode(), digest_size=ID_BYTES).hexdigest().encode("ascii")
