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

# mda
DELIVERED = Counter("packetboat_delivered_total", "Targets that the MDA brought to an end", ["outcome"])
DELIVERY_SECONDS = Histogram(
    "packetboat_delivery_seconds",
    "From acceptance to the mailbox",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300),
)
SIEVE_RUNS = Counter("packetboat_sieve_runs_total", "Runs of Sieve scripts on a message by outcome", ["outcome"])
SIEVE_SECONDS = Histogram(
    "packetboat_sieve_seconds",
    "Duration of one run of an account's Sieve scripts",
    buckets=(0.0001, 0.0003, 0.001, 0.003, 0.01, 0.1, 1, 5),
)

# relay
RELAY_OUTCOMES = Counter("packetboat_relay_outcomes_total", "Recipients by what became of them", ["outcome"])
RELAY_CONNECTIONS = Counter(
    "packetboat_relay_connections_total", "Connections to other servers by outcome", ["outcome"]
)

# access
ACCESS_CONNECTIONS = Gauge(
    "packetboat_access_connections", "Open IMAP and POP3 connections", multiprocess_mode="livesum"
)
COMMAND_SECONDS = Histogram(
    "packetboat_imap_command_seconds",
    "Duration of IMAP commands",
    ["command"],
    buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 2, 10),
)

# admin: what is measured once for the whole stack
QUEUE_DEPTH = Gauge(
    "packetboat_queue_depth",
    "Entries (queued, leased) and recipients (waiting, held) by lane",
    ["lane", "state"],
    multiprocess_mode="mostrecent",
)
QUEUE_OLDEST = Gauge(
    "packetboat_queue_oldest_seconds", "Age of the oldest in a lane", ["lane"], multiprocess_mode="mostrecent"
)
WORKERS = Gauge("packetboat_workers", "Processes that read a lane's queue", ["lane"], multiprocess_mode="mostrecent")
VOLUME_FREE = Gauge("packetboat_volume_free_bytes", "Free space on the volume", multiprocess_mode="mostrecent")
VOLUME_RESERVE = Gauge(
    "packetboat_volume_reserve_bytes", "Free space below which new mail gets 452", multiprocess_mode="mostrecent"
)
CERTIFICATE_EXPIRES = Gauge(
    "packetboat_certificate_expires_timestamp_seconds",
    "When the certificate ends, Unix time",
    multiprocess_mode="mostrecent",
)
API_REQUESTS = Counter("packetboat_admin_requests_total", "Requests of the API", ["method", "status"])

# relay: attempts by site; sites beyond the first few hundred are "other"
RELAY_ATTEMPTS = Counter(
    "packetboat_relay_attempts_total", "Recipients tried, by site and outcome", ["site", "outcome"]
)

# scanners and filters, at the mta and the mda
SCANNER_OUTCOMES = Counter(
    "packetboat_scanner_messages_total",
    "Messages by scanner and what it said, or failed, down, skipped",
    ["scanner", "outcome"],
)
SCANNER_SECONDS = Histogram(
    "packetboat_scanner_seconds",
    "Duration of one message's scan",
    ["scanner"],
    buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 15, 60),
)
SCANNER_BREAKER = Gauge(
    "packetboat_scanner_breaker",
    "0 closed, 1 half open, 2 open: the scanner isn't asked",
    ["scanner"],
    multiprocess_mode="livemax",
)
QUARANTINED = Counter("packetboat_quarantined_total", "Recipients whose mail was kept back, by scanner", ["scanner"])
TRAINED = Counter(
    "packetboat_trained_total", "Messages moved into or out of Junk: learned, known, failed, lost", ["outcome"]
)
