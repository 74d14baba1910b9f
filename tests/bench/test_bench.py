"""The benchmark's arithmetic, its corpus and its drivers (without any peer)."""

from __future__ import annotations

import email
import os
import subprocess
import sys
import xml.etree.ElementTree
from email.message import Message
from pathlib import Path

import pytest

from tests.bench import scenarios
from tests.bench.chart import draw
from tests.bench.corpus import ABSENT_WORD, SEARCH_EVERY, SEARCH_WORD, corpus, plain_mail
from tests.bench.drivers.conversations import Refused
from tests.bench.drivers.smtp import send_pipelined
from tests.bench.machine import Machine
from tests.bench.peers.templates import fill
from tests.bench.report import as_json
from tests.bench.results import Result, compare
from tests.bench.scenario import Better, Row, Sample, Samples, Scenario
from tests.tools.processes import kill_tree, tree, usage
from tests.tools.sink import Rule, Sink

MACHINE = Machine("2026-01-01", "CPU", 4, 8, "6.1", "ext4", 1000, "3.11", "3.7", "2.3")


def _scenario(*rows: Row) -> Scenario:
    return Scenario("s", "t", rows, ours=None, peers={}, measure=None)  # type: ignore[arg-type]


def _rounds(*values: float, row: str = "s", client: float = 0.1) -> list[Samples]:
    return [{row: Sample(value, client)} for value in values]


def _one(row: Row, **sides: list[Samples]) -> Result:
    (result,) = compare(_scenario(row), sides)
    return result


def test_the_ratio_is_above_one_when_we_are_better_whatever_the_unit() -> None:
    rate = _one(Row("s", "/s", Better.HIGHER), ours=_rounds(10, 30, 20), peer=_rounds(10))
    time = _one(Row("s", "ms", Better.LOWER), ours=_rounds(10), peer=_rounds(20))
    assert (rate.ratio, time.ratio) == (2.0, 2.0)
    assert rate.ours is not None
    assert rate.ours.spread == 1.0


def test_the_faster_peer_counts() -> None:
    result = _one(Row("s", "ms", Better.LOWER), ours=_rounds(10), slow=_rounds(90), fast=_rounds(50))
    assert result.peer is not None
    assert result.peer.side == "fast"
    assert [figure.side for figure in result.slower_peers] == ["slow"]


def test_the_bar_and_our_own_limit_must_both_hold() -> None:
    row = Row("s", "KiB", Better.LOWER, bar=10, absolute=20)
    assert _one(row, ours=_rounds(19), peer=_rounds(200)).reached
    assert not _one(row, ours=_rounds(21), peer=_rounds(2100)).reached
    assert not _one(row, ours=_rounds(19), peer=_rounds(100)).reached


def test_a_busy_client_voids_the_row() -> None:
    result = _one(Row("s", "/s", Better.HIGHER, 1), ours=_rounds(10, client=0.81), peer=_rounds(1))
    assert result.void
    assert not as_json(result, MACHINE, workers=1, sql="sqlite")["judged"]


def test_the_worst_of_several_rows() -> None:
    rows = (
        Row("a", "ms", Better.LOWER),
        Row("b", "ms", Better.LOWER),
        Row("worst", "ms", Better.LOWER, 3.0, worst_of=("a", "b")),
    )
    ours, peer = {"a": Sample(1), "b": Sample(1)}, {"a": Sample(5), "b": Sample(2)}
    worst = compare(_scenario(*rows), {"ours": [ours], "peer": [peer]})[-1]
    assert worst.ratio == 2.0
    assert worst.reached is False


def test_the_chart_is_well_formed() -> None:
    result = _one(Row("s", "/s", Better.HIGHER, 2), ours=_rounds(10), peer=_rounds(1))
    root = xml.etree.ElementTree.fromstring(draw([result], MACHINE))
    assert root.tag.endswith("svg")
    assert "×10.0" in "".join(root.itertext())


def test_json_has_what_the_issue_asks_for() -> None:
    record = as_json(_one(Row("s", "/s", Better.HIGHER), ours=_rounds(2), peer=_rounds(1)), MACHINE, workers=1, sql="x")
    assert {"scenario", "ours", "peer", "unit", "ratio", "cores", "fdatasync_per_second", "sql", "tls"} <= set(record)


def test_scenario_and_row_names_are_unique_and_cover_the_issue() -> None:
    names = [row.name for scenario in scenarios.ALL for row in scenario.rows]
    assert len(names) == len(set(names))
    assert {
        "accept", "accept-new", "accept-large", "accept-latency", "end-to-end", "relay-drain", "relay-inject",
        "imap-login", "imap-login-shipped", "imap-envelope", "imap-envelope-cold", "imap-flags", "imap-body",
        "imap-search", "imap-move", "imap-append", "imap-idle", "imap-idle-hibernated", "pop3", "imap-mix", "scale-1",
        "imap-search-indexed",
    } <= set(names)  # fmt: skip


def test_the_corpus_is_what_it_says() -> None:
    mails = list(corpus(300, 5000))
    assert len({mail.data for mail in mails}) == 300
    assert sum(mail.has_word for mail in mails) == 300 / SEARCH_EVERY
    assert 4500 < sum(len(mail.data) for mail in mails) / 300 < 5800
    for mail in mails:
        assert b"\n" not in mail.data.replace(b"\r\n", b"")
        assert b"\r\n." not in mail.data
        text = _text(email.message_from_bytes(mail.data))
        assert (SEARCH_WORD in text) == mail.has_word
        assert ABSENT_WORD not in text


def _text(message: Message) -> str:
    parts = [part.get_payload(decode=True) for part in message.walk() if not part.is_multipart()]
    return "".join(part.decode() for part in parts if isinstance(part, bytes))


def test_plain_mail_has_bodies_of_one_size_that_all_differ() -> None:
    bodies = [mail.data.partition(b"\r\n\r\n")[2] for mail in plain_mail(50, 4096, run="t")]
    assert {len(body) for body in bodies} == {4096}
    assert len(set(bodies)) == 50


def test_our_generator_delivers_every_mail() -> None:
    mails = list(corpus(40, 3000))
    with Sink() as sink:
        send_pipelined((sink.host, sink.port), mails, ("a@x.test", "b@x.test"), sessions=4)
        received = sink.wait_for(40)
    assert sorted(message.data for message in received) == sorted(mail.data for mail in mails)
    assert sum(message.recipients == ("a@x.test",) for message in received) == 20


def test_our_generator_stops_at_a_refusal() -> None:
    with Sink(rules=[Rule("DOT", reply="452 4.3.1 full")]) as sink, pytest.raises(Refused, match=r"4\.3\.1"):
        send_pipelined((sink.host, sink.port), list(corpus(1, 3000)), ("a@x.test",), sessions=1)


def test_an_unknown_place_in_a_template_is_an_error() -> None:
    with pytest.raises(KeyError, match="WORK"):
        fill("postfix/main.cf", {})


def test_usage_counts_children_that_ended(tmp_path: Path) -> None:
    burn = "import os\nif os.fork() == 0:\n  sum(range(20_000_000)); os._exit(0)\nos.wait(); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert usage([process.pid]).cpu_seconds > 0.1
        assert process.pid in tree([os.getpid()])
        kill_tree([process.pid])
