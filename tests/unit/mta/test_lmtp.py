"""What transcripts of LMTP don't show: the journal's failure, the envelope, a fault of ours."""

from __future__ import annotations

from services.mta.client import Role
from shared.errors import TemporaryFailure
from tests.unit.mta.fakes import FakeMta

BEGIN = (b"LHLO mx", b"MAIL FROM:<x@elsewhere.test>", b"RCPT TO:<alice@a.test>", b"RCPT TO:<bob@a.test>", b"DATA")
TEXT = b"Subject: x\r\n\r\ntext\r\n.\r\n"


async def test_the_envelope_is_as_from_another_mta():
    mta = FakeMta()
    wire = mta.connect(Role.LMTP, "::1")
    await wire.dialogue(*BEGIN)
    assert (await wire.send(TEXT)).count(b"250 2.1.5 <") == 2
    [(envelope, message)] = mta.journal.entries
    assert (envelope.origin.service, envelope.origin.protocol) == ("lmtp", "LMTP")
    assert [recipient.address for recipient in envelope.recipients] == ["alice@a.test", "bob@a.test"]
    assert b" with LMTP\r\n\tid " in message
    assert message.endswith(b"\r\nSubject: x\r\n\r\ntext\r\n")  # it isn't completed like what users submit


async def test_a_journal_that_fails_defers_each_recipient():
    mta = FakeMta()
    mta.journal.failure = TemporaryFailure("The volume is away")
    wire = mta.connect(Role.LMTP, "127.0.0.1")
    await wire.dialogue(*BEGIN)
    assert (await wire.send(TEXT)).count(b"451 ") == 2
    mta.journal.failure = None
    assert await wire.dialogue(*BEGIN[1:]) == [b"", b"250", b"250", b"250", b"354"]
    assert (await wire.send(TEXT)).count(b"250 2.1.5 <") == 2


async def test_a_fault_of_ours_answers_each_recipient():
    mta = FakeMta()
    wire = mta.connect(Role.LMTP, "127.0.0.1")
    await wire.dialogue(*BEGIN)

    async def broken(*arguments: object) -> None:
        raise RuntimeError("a fault")

    mta.journal.append = broken  # type: ignore[method-assign,assignment]
    assert (await wire.send(TEXT)).count(b"451 4.3.0") == 2
