"""All metrics in one place; docs/operations.md lists them (a test compares).

With several processes prometheus-client keeps values in files under PROMETHEUS_MULTIPROC_DIR,
which `shared.process` sets before this module is imported.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

# mta
ACCEPTED = Counter("packetboat_accepted_total", "Messages that got a 250", ["listener"])
REJECTED = Counter("packetboat_rejected_total", "Commands and messages refused", ["listener", "code"])
SMTP_CONNECTIONS = Gauge("packetboat_smtp_connections", "Open SMTP connections", multiprocess_mode="livesum")
GROUP_RECORDS = Histogram(
    "packetboat_journal_group_records",
    "Records made durable by one fdatasync",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200),
)
FSYNC_SECONDS = Histogram(
    "packetboat_journal_fsync_seconds",
    "Duration of the journal's fdatasync",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2),
)

# logins, all services
LOGINS = Counter("packetboat_logins_total", "Logins by protocol and outcome", ["protocol", "outcome"])
