"""Every scenario, in the order of the report."""

from __future__ import annotations

from tests.bench.scenario import Scenario
from tests.bench.scenarios import accept, end_to_end, imap_clients, imap_idle, imap_large, relay

ALL: tuple[Scenario, ...] = (
    *accept.SCENARIOS,
    *end_to_end.SCENARIOS,
    *relay.SCENARIOS,
    *imap_large.SCENARIOS,
    *imap_clients.SCENARIOS,
    *imap_idle.SCENARIOS,
)
