"""Every scenario, in the order of the report."""

from __future__ import annotations

from tests.bench.scenario import Scenario
from tests.bench.scenarios import (
    accept,
    end_to_end,
    imap_clients,
    imap_idle,
    imap_large,
    imap_search_indexed,
    relay,
    sieve,
)

ALL: tuple[Scenario, ...] = (
    *accept.SCENARIOS,
    *end_to_end.SCENARIOS,
    *sieve.SCENARIOS,
    *relay.SCENARIOS,
    *imap_large.SCENARIOS,
    *imap_search_indexed.SCENARIOS,
    *imap_clients.SCENARIOS,
    *imap_idle.SCENARIOS,
)
