"""The accounts that both sides have."""

from __future__ import annotations

DOMAIN = "bench.test"
ACCOUNT_COUNT = 100
PASSWORD = "correct-horse-battery"
SENDER = "sender@elsewhere.test"

ACCOUNTS = tuple(f"user{number:03d}@{DOMAIN}" for number in range(ACCOUNT_COUNT))
