"""The servers that scenarios compare."""

from __future__ import annotations

from pathlib import Path

from tests.bench.packetboat import Packetboat
from tests.bench.peers.dovecot import Dovecot, DovecotProfile, MailFormat
from tests.bench.peers.postfix import Postfix, PostfixProfile
from tests.bench.scenario import Setting
from tests.bench.server import Server


def packetboat(setting: Setting, work: Path) -> Packetboat:
    """All of our services."""
    return Packetboat(work, workers=setting.workers, database_url=setting.database_url)


def packetboat_mta(setting: Setting, work: Path) -> Packetboat:
    """Ours with mda and relay stopped, as Postfix holds; Valkey runs."""
    return Packetboat(work, services="mta", workers=setting.lone_workers, database_url=setting.database_url)


def packetboat_access(setting: Setting, work: Path) -> Packetboat:
    """Ours without mta, relay and mda, as Dovecot is measured; Valkey runs."""
    return Packetboat(work, services="access", workers=setting.lone_workers, database_url=setting.database_url)


def postfix_hold(_setting: Setting, work: Path) -> Postfix:
    """Postfix that queues and holds."""
    return Postfix(work, PostfixProfile.HOLD)


def dovecot_mdbox(_setting: Setting, work: Path) -> Dovecot:
    """Dovecot as shipped on mdbox."""
    return Dovecot(work, MailFormat.MDBOX)


def dovecot_maildir(_setting: Setting, work: Path) -> Dovecot:
    """Dovecot as shipped on Maildir."""
    return Dovecot(work, MailFormat.MAILDIR)


def tuned_mdbox(_setting: Setting, work: Path) -> Dovecot:
    """Dovecot with process reuse on mdbox."""
    return Dovecot(work, MailFormat.MDBOX, DovecotProfile.TUNED)


def tuned_maildir(_setting: Setting, work: Path) -> Dovecot:
    """Dovecot with process reuse on Maildir."""
    return Dovecot(work, MailFormat.MAILDIR, DovecotProfile.TUNED)


BOTH_FORMATS = {"dovecot mdbox": dovecot_mdbox, "dovecot maildir": dovecot_maildir}
BOTH_FORMATS_TUNED = {"dovecot tuned mdbox": tuned_mdbox, "dovecot tuned maildir": tuned_maildir}


class PostfixDovecot:
    """Postfix that delivers to Dovecot's LMTP server."""

    def __init__(self, work: Path, mail_format: MailFormat, *, script: Path | None = None) -> None:
        self.dovecot = Dovecot(work / "dovecot", mail_format, script=script)
        self.postfix = Postfix(work / "postfix", PostfixProfile.DELIVER, lmtp=self.dovecot.lmtp)
        self.name = f"{self.postfix.name} + {self.dovecot.name}"
        self.smtp = self.submission = self.postfix.smtp
        self.imap, self.imaps, self.pop3 = self.dovecot.imap, self.dovecot.imaps, self.dovecot.pop3

    def reset(self) -> None:
        """Forget queue and mail."""
        self.dovecot.reset()
        self.postfix.reset()

    def start(self) -> None:
        """Dovecot first, so that Postfix finds its socket."""
        self.dovecot.start()
        self.postfix.start()

    def stop(self) -> None:
        """Postfix first."""
        self.postfix.stop()
        self.dovecot.stop()

    def kill(self) -> None:
        """SIGKILL to both."""
        self.postfix.kill()
        self.dovecot.kill()

    def roots(self) -> list[int]:
        """Both masters."""
        return [*self.postfix.roots(), *self.dovecot.roots()]


def postfix_dovecot_mdbox(_setting: Setting, work: Path) -> PostfixDovecot:
    """Postfix and Dovecot on mdbox."""
    return PostfixDovecot(work, MailFormat.MDBOX)


def postfix_dovecot_maildir(_setting: Setting, work: Path) -> PostfixDovecot:
    """Postfix and Dovecot on Maildir."""
    return PostfixDovecot(work, MailFormat.MAILDIR)


def is_ours(server: Server) -> bool:
    """Whether a server is Packetboat."""
    return isinstance(server, Packetboat)
