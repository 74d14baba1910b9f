"""Where recipients lead, asked of the directory once for a while."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from shared.address import AddressError, parse_address
from shared.directory import Directory, Expansion

KEEP = 3.0  # seconds an answer is used again
SIZE = 20_000  # answers
PARALLEL = 8  # questions at a time


class Expansions:
    """A short-lived cache; an account that changed meanwhile is noticed by the batch transaction."""

    def __init__(self, directory: Directory, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, Expansion]] = OrderedDict()
        self._slots = asyncio.Semaphore(PARALLEL)

    async def of(self, addresses: Iterable[str]) -> dict[str, Expansion]:
        """Return the expansion of each address; DatabaseUnavailable."""
        now = self._clock()
        answers: dict[str, Expansion] = {}
        missing: list[str] = []
        for address in dict.fromkeys(addresses):
            known = self._known.get(address)
            if known is not None and known[0] > now:
                answers[address] = known[1]
            else:
                missing.append(address)
        found = await asyncio.gather(*(self._ask(address) for address in missing))
        for address, expansion in zip(missing, found, strict=True):
            answers[address] = expansion
            if not expansion.unknown:  # what is unknown may be created any moment
                self._keep(address, expansion, now)
        return answers

    async def _ask(self, address: str) -> Expansion:
        try:
            parsed = parse_address(address)
        except AddressError:
            return Expansion()
        async with self._slots:
            return await self._directory.expand(parsed)

    def _keep(self, address: str, expansion: Expansion, now: float) -> None:
        self._known[address] = (now + KEEP, expansion)
        self._known.move_to_end(address)
        while len(self._known) > SIZE:
            self._known.popitem(last=False)
