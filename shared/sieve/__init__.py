"""Sieve (RFC 5228 and its extensions): scripts checked, compiled and run, without any IO.

`check` tells what is wrong with a script, `compile_script` makes a Script of it, `run` gives what it decides on a
message as values; shared/sieve/extensions has the language, one table an extension.
"""

from __future__ import annotations

from shared.sieve.context import Context, Envelope
from shared.sieve.errors import ScriptError, SieveError
from shared.sieve.language import LANGUAGE
from shared.sieve.limits import Limits
from shared.sieve.message import Message
from shared.sieve.script import Result, Script, check, compile_script, run, run_sequence

__all__ = [
    "LANGUAGE",
    "Context",
    "Envelope",
    "Limits",
    "Message",
    "Result",
    "Script",
    "ScriptError",
    "SieveError",
    "check",
    "compile_script",
    "run",
    "run_sequence",
]
