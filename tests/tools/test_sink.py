"""The tests' SMTP sink does as its rules say and loses nothing it acknowledged."""

from __future__ import annotations

import smtplib
from pathlib import Path

import pytest

from tests.tools.certificates import trusting_context
from tests.tools.reconcile import ids_at_sink, reconcile
from tests.tools.sink import Rule, Sink, SinkOptions, SinkProcess
from tests.tools.smtp_load import LoadPlan, SmtpLoad, read_log


def _send(sink: Sink | SinkProcess, *recipients: str, body: str = "text\r\n") -> dict[str, tuple[int, bytes]]:
    with smtplib.SMTP(sink.host, sink.port) as client:
        return client.sendmail("a@a.test", recipients, f"Subject: t\r\n\r\n{body}")


def test_records_what_was_sent_with_dots_unstuffed() -> None:
    with Sink() as sink:
        _send(sink, "b@b.test", body=".dot\r\n..\r\nend\r\n")
        (message,) = sink.wait_for(1)
    assert message.sender == "a@a.test"
    assert message.recipients == ("b@b.test",)
    assert message.data == b"Subject: t\r\n\r\n.dot\r\n..\r\nend\r\n"


def test_an_empty_message_ends() -> None:
    with Sink() as sink, smtplib.SMTP(sink.host, sink.port) as client:
        client.ehlo()
        client.mail("")
        client.rcpt("b@b.test")
        client.docmd("DATA")
        client.send(b".\r\n")
        assert client.getreply()[0] == 250
        assert sink.wait_for(1)[0].data == b""


def test_a_rule_applies_so_many_times_to_each_recipient() -> None:
    with Sink(rules=[Rule("RCPT", reply="451 4.3.0 later", match="*@slow.test", times=2)]) as sink:
        for _ in range(2):
            with pytest.raises(smtplib.SMTPRecipientsRefused):
                _send(sink, "x@slow.test")
        assert _send(sink, "x@slow.test") == {}
        assert _send(sink, "b@b.test", "y@slow.test") == {"y@slow.test": (451, b"4.3.0 later")}


def test_a_dropped_connection_may_have_recorded_the_message() -> None:
    with Sink(rules=[Rule("DOT", drop=True, keep=True, times=1)]) as sink:
        with pytest.raises(smtplib.SMTPServerDisconnected):
            _send(sink, "b@b.test")
        _send(sink, "b@b.test")
        assert len(sink.wait_for(2)) == 2


def test_starttls_and_auth() -> None:
    with Sink(SinkOptions(starttls=True, credentials=("u", "p"))) as sink:
        with smtplib.SMTP(sink.host, sink.port) as client:
            client.starttls(context=trusting_context())
            client.login("u", "p")
            client.sendmail("a@a.test", ["b@b.test"], "Subject: t\r\n\r\n")
        (message,) = sink.wait_for(1)
    assert message.tls
    assert message.user == "u"


def test_pipelining_against_the_offer_is_counted() -> None:
    with Sink(SinkOptions(pipelining=False)) as sink, smtplib.SMTP(sink.host, sink.port) as client:
        client.ehlo()
        assert not client.has_extn("pipelining")
        client.send(b"NOOP\r\nNOOP\r\nNOOP\r\n")
        assert [client.getreply()[0] for _ in range(3)] == [250, 250, 250]
        assert sink.counts.pipelining_violations > 0


def test_a_killed_sink_has_all_that_it_acknowledged(tmp_path: Path) -> None:
    sink = SinkProcess(tmp_path / "sink").start()
    try:
        sink.set_rules(Rule("RCPT", reply="550 5.1.1 nobody", match="n@*"))
        plan = LoadPlan(((sink.host, sink.port),), ("a@x.test", "b@x.test", "n@x.test"), 300, connections=4)
        load = SmtpLoad(plan, tmp_path / "load.log").start()
        for _ in range(3):
            sink.kill()
            sink.start()
        load.join()
        result = reconcile(read_log(tmp_path / "load.log"), ids_at_sink(sink.messages()))
    finally:
        sink.stop()
    assert result.complete, str(result)
    assert result.acknowledged == 200
    assert len(load.refused) == 100


def test_reconcile_tells_missing_repeated_and_unacknowledged() -> None:
    result = reconcile(["a", "b"], {"b": 2, "c": 1})
    assert (result.missing, result.repeats, result.unacknowledged) == (("a",), 1, ("c",))
    assert not result.complete
