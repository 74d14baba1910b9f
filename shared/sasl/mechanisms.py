"""The mechanisms by name, and which are offered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from shared.sasl.mechanism import Login, Mechanism, Plain
from shared.sasl.scram import Algorithm, Scram

PLUS = b"-PLUS"

Maker = Callable[[Mapping[str, bytes]], Mechanism]

MAKERS: dict[bytes, Maker] = {
    b"PLAIN": lambda bindings: Plain(),
    b"LOGIN": lambda bindings: Login(),
}
"""What makes a mechanism for a connection with these channel bindings."""
for _algorithm in Algorithm:
    MAKERS[_algorithm.mechanism] = partial(Scram, _algorithm, plus=False)
    MAKERS[_algorithm.mechanism + PLUS] = partial(Scram, _algorithm, plus=True)

OFFERED = (b"SCRAM-SHA-256-PLUS", b"SCRAM-SHA-256", b"PLAIN", b"LOGIN")
"""What is offered unless the settings say otherwise, best first."""


def offered(chosen: Iterable[bytes], bindings: Mapping[str, bytes]) -> tuple[bytes, ...]:
    """Return those of the chosen mechanisms that a connection can have: -PLUS needs a channel to be bound to."""
    return tuple(name for name in chosen if bindings or not name.endswith(PLUS))
