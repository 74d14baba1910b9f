"""The profiles `rspamd` and `clamav`: what is refused, filed and learned of mail through the published ports."""

from __future__ import annotations

import imaplib
import io
import re
import smtplib
import zipfile
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import SMTP

import pytest

from tests.containers.conftest import ACCOUNTS
from tests.containers.engine import SCANNERS, VERSION, Engine
from tests.containers.project import PASSWORD, Project, entry_of
from tests.containers.test_mail import ALICE, wait_for
from tests.e2e.sessions import eventually
from tests.tools.daemons import EICAR, GTUBE

pytestmark = [pytest.mark.container, pytest.mark.timeout(600)]

ANN = ACCOUNTS[0]
STRANGER = "stranger@remote0.test"
SIGNATURE = f"Eicar-Test-Signature:0:*:{EICAR.hex()}\n"
WITH_SCANNERS = {"COMPOSE_PROFILES": "rspamd,clamav", "PACKETBOAT_SCANNERS": "/scanners"}


@pytest.fixture(scope="module")
def scanned(engine: Engine, fresh_stack: Project) -> Iterator[Project]:
    """The stack with both profiles; clamd knows one signature, since its mirrors can't be reached from everywhere."""
    engine.build(VERSION, images=SCANNERS)
    fresh_stack.env |= WITH_SCANNERS
    command = ["--no-deps", "--entrypoint", "tee", "clamav", "/var/lib/clamav/test.ndb"]
    fresh_stack.compose("run", "--rm", "-T", *command, input=SIGNATURE)
    try:
        yield fresh_stack.up({"mta": 1, "mda": 1, "relay": 1, "access": 1})
    finally:
        fresh_stack.compose("rm", "-s", "-f", "-v", "rspamd", "rspamd-redis", "clamav")
        for name in WITH_SCANNERS:
            del fresh_stack.env[name]


def letter(text: bytes = b"Here are the figures.", attachment: bytes = b"") -> EmailMessage:
    message = EmailMessage(SMTP)
    message["From"], message["To"], message["Subject"] = STRANGER, ANN, "Figures"
    message["Date"], message["Message-ID"] = "Mon, 23 Nov 2026 12:00:00 +0000", "<1@remote0.test>"
    message.set_content(text.decode())
    if attachment:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("invoice.txt", attachment)
        message.add_attachment(packed.getvalue(), maintype="application", subtype="zip", filename="invoice.zip")
    return message


def hand_in(stack: Project, message: EmailMessage) -> tuple[int, str]:
    """Give the MX a message; return its last reply."""
    with smtplib.SMTP("127.0.0.1", stack.port_base + 25, timeout=60) as smtp:
        smtp.ehlo("mail.remote0.test")
        smtp.mail(STRANGER)
        smtp.rcpt(ANN)
        code, said = smtp.data(message.as_bytes())
        return code, said.decode()


def accepted(stack: Project, message: EmailMessage) -> str:
    """Give the MX a message; return its entry's id."""
    code, said = hand_in(stack, message)
    assert code == 250, said
    return said.split()[-1]


def test_spam_is_refused(scanned: Project) -> None:
    code, said = hand_in(scanned, letter(GTUBE))
    assert code == 550 and "Gtube" in said, said


def test_a_virus_is_refused_even_of_a_user(scanned: Project) -> None:
    message = letter(attachment=EICAR)
    code, said = hand_in(scanned, message)
    assert code == 550 and "Eicar-Test-Signature" in said, said
    with smtplib.SMTP("127.0.0.1", scanned.port_base + 587, timeout=60) as smtp:
        smtp.starttls(context=scanned.tls)
        smtp.login(ALICE, PASSWORD)
        with pytest.raises(smtplib.SMTPDataError, match=r"550.*Eicar-Test-Signature"):
            smtp.sendmail(ALICE, [ANN], message.as_bytes())


def test_other_mail_passes_both(scanned: Project) -> None:
    header = wait_for(scanned, accepted(scanned, letter()), ANN)
    assert b"\r\nX-Spam-Status: No" in header and b"\r\nX-Virus-Status: Clean" in header, header


def test_what_looks_like_spam_is_in_junk_and_a_user_teaches_rspamd(scanned: Project) -> None:
    """A message that lacks what every mail program writes: over the threshold of *add header*, not of *reject*."""
    message = letter(b" ".join(b"word%d of a text that is long enough to learn from" % n for n in range(20)))
    for name in ("To", "Subject", "Date", "Message-ID"):
        del message[name]
    entry = accepted(scanned, message)
    client = scanned.imap(ANN, PASSWORD)
    eventually(lambda: in_mailbox(client, "Junk", entry), f"{entry} in Junk")
    before = learned(scanned)
    client.select("Junk")
    client.uid("MOVE", "1:*", "INBOX")
    client.logout()
    eventually(lambda: learned(scanned) > before, "rspamd has learned")


def test_without_clamd_mail_waits_and_without_rspamd_it_passes(scanned: Project) -> None:
    """As deploy/scanners/*.toml say: a virus is worse than waiting, spam isn't."""
    scanned.compose("stop", "clamav", "rspamd")
    code, said = hand_in(scanned, letter())
    assert code == 451, said
    scanned.compose("start", "clamav")
    eventually(lambda: hand_in(scanned, letter(attachment=EICAR))[0] == 550, "clamd finds viruses again", timeout=120)
    header = wait_for(scanned, accepted(scanned, letter(GTUBE)), ANN)
    assert b"\r\nX-Packetboat-Unscanned: rspamd" in header, header


def in_mailbox(client: imaplib.IMAP4, mailbox: str, entry: str) -> bool:
    """Whether an entry's message is in a mailbox."""
    _, (count, *_) = client.select(mailbox, readonly=True)
    if not int(count or b"0"):
        return False
    _, answers = client.fetch("1:*", "(BODY.PEEK[HEADER])")
    return entry in {entry_of(answer[1]) for answer in answers if isinstance(answer, tuple)}


def learned(stack: Project) -> int:
    """How many messages rspamd has learned from."""
    told = stack.compose("exec", "-T", "rspamd", "rspamc", "-h", "127.0.0.1:11334", "stat")
    return int(re.findall(r"(?m)^Messages learned: (\d+)", told)[0])
