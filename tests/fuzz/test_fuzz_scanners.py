"""Whatever a scanner answers is a verdict or a failure of the scanner."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.filters.clamav import Clamav
from shared.filters.configuration import ClamavConfig, RspamdConfig, SpamassassinConfig
from shared.filters.failure import NotScanned, ScanFailed
from shared.filters.fields import apply, told
from shared.filters.rspamd import ACTIONS, Rspamd
from shared.filters.spamassassin import SpamAssassin
from shared.filters.verdict import spam_percent
from shared.message.verdict import Verdict

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
ANSWERS = st.fixed_dictionaries(
    {"action": st.sampled_from(sorted(ACTIONS)) | JSON},
    optional={
        "score": JSON, "symbols": JSON, "subject": JSON, "messages": JSON,
        "milter": st.fixed_dictionaries({}, optional={"add_headers": JSON, "remove_headers": JSON}) | JSON,
    },
)  # fmt: skip
RSPAMD = Rspamd(RspamdConfig(name="r"), "mx.test")
SPAMD = SpamAssassin(SpamassassinConfig(name="s"))
CLAMD = Clamav(ClamavConfig(name="c"))


def check(verdict: Verdict) -> None:
    """Its fields are a header, and it can be kept."""
    recorded = verdict.recorded()
    assert len(recorded.symbols) <= 50
    header = told([verdict]) + apply(b"Subject: x\r\n\r\n", verdict.changes)
    assert header.endswith(b"\r\n\r\n") and header.count(b"\r\n\r\n") == 1
    percent = spam_percent([verdict])
    assert percent is None or 0 <= percent <= 100


@settings(max_examples=300, deadline=None)
@given(ANSWERS)
def test_rspamd(answer: dict[str, Any]) -> None:
    try:
        check(RSPAMD._verdict(answer))
    except ScanFailed:
        return


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=100)
    | st.from_regex(rb"SPAMD/1\.1 0 EX_OK\r\nSpam: (True|False) ; -?[0-9.]{1,9} / -?[0-9.]{1,9}\r\n\r\n.{0,40}")
)
def test_spamd(answer: bytes) -> None:
    try:
        check(SPAMD._verdict(answer))
    except ScanFailed:
        return


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60) | st.text(max_size=60).map(lambda name: f"stream: {name} FOUND"))
def test_clamd(answer: str) -> None:
    try:
        check(CLAMD._verdict(answer))
    except (ScanFailed, NotScanned):
        return
