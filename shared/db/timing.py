"""How long SQL takes, for the metrics."""

from __future__ import annotations

from prometheus_client import Histogram

SECONDS = Histogram(
    "packetboat_sql_seconds",
    "Duration of SQL transactions (of a group of them on SQLite)",
    ["kind"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2, 10),
)
WRITE, SYNC, READ, SCAN = (SECONDS.labels(kind) for kind in ("write", "sync", "read", "scan"))
