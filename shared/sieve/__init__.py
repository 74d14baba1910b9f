"""Sieve (RFC 5228 and its extensions): scripts checked, compiled and run, without any IO.

`check` tells what is wrong with a script, `compile_script` makes a Script of it, `run` gives what it decides on a
message as values; shared/sieve/extensions has the language, one table an extension.

For conformance suites: one call takes script, message, envelope and the state of the mailboxes, and returns the
actions and the changed message.

    result = run(
        compile_script(source),                     # str or bytes; ScriptError has every error's line and column
        Context(
            Message(octets),                        # CRLF line ends
            Envelope(sender, recipient),            # also notify, orcpt, ret, envid, deliver_by
            now,                                    # an aware datetime
            mailboxes=NamedMailboxes(["INBOX", "Work"], annotations, special_uses, ids),
            seen=lambda key: False,                 # what duplicate remembers
            load=lambda location, name: None,       # included scripts
            environment={...}, addresses=[...], user=..., spam_percent=..., virus=..., lists=NamedLists({...}),
        ),
        traced=True,
    )
    result.actions            # values of shared/sieve/actions.py, the implicit keep last
    result.message.render()   # the message as it is at the end
    result.error              # SieveError, or None; then the only action is an implicit keep
    result.trace              # each command and test with its outcome
    record_of(result)         # the same as plain values for JSON

From another language: `packetboat sieve test --json SCRIPT MESSAGE [--state FILE] [--output FILE]`.
"""

from __future__ import annotations

from shared.sieve.context import Context, Envelope, NamedLists, NamedMailboxes
from shared.sieve.errors import ScriptError, SieveError
from shared.sieve.language import LANGUAGE
from shared.sieve.limits import Limits
from shared.sieve.message import Message
from shared.sieve.record import record_of
from shared.sieve.script import Result, Script, check, compile_script, run, run_sequence

__all__ = [
    "LANGUAGE",
    "Context",
    "Envelope",
    "Limits",
    "Message",
    "NamedLists",
    "NamedMailboxes",
    "Result",
    "Script",
    "ScriptError",
    "SieveError",
    "check",
    "compile_script",
    "record_of",
    "run",
    "run_sequence",
]
