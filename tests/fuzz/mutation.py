"""Bytes changed at random places, as the fuzz targets of line protocols feed them to parsers."""

from __future__ import annotations

import random
from collections.abc import Sequence

MAX_CHANGES = 4
MAX_REMOVED, MAX_REPEATED, MAX_TIMES = 8, 20, 3


def mutate(data: bytes, dice: random.Random, tokens: Sequence[bytes], seeds: Sequence[bytes]) -> bytes:
    """Return the octets with a few of them removed, repeated or replaced, tokens put in, or a seed's end."""
    mutated = bytearray(data)
    for _ in range(dice.randint(1, MAX_CHANGES)):
        at = dice.randint(0, len(mutated))
        match dice.randrange(5):
            case 0:
                del mutated[at : at + dice.randint(1, MAX_REMOVED)]
            case 1:
                mutated[at:at] = dice.choice(tokens)
            case 2:
                mutated[at : at + 1] = bytes([dice.randrange(256)])
            case 3:
                mutated[at:at] = mutated[at : at + dice.randint(1, MAX_REPEATED)] * dice.randint(1, MAX_TIMES)
            case 4:
                other = dice.choice(seeds)
                mutated[at:] = other[dice.randint(0, len(other)) :]
    return bytes(mutated)
