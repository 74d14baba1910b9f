"""The language as this mail server has it: what the interpreter knows, less what the server doesn't do."""

from __future__ import annotations

from shared.sieve.extensions import EXTENSIONS
from shared.sieve.language import Language

NOT_SERVED = frozenset(
    {
        "extlists",  # there are no lists outside scripts
    }
)

LANGUAGE = Language(extension for extension in EXTENSIONS if extension.name not in NOT_SERVED)
