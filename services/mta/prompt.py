"""Commands that are obeyed where they arrive: MAIL, RCPT and DATA when their replies are known without waiting.

To wake a connection's task for each of them is a third of what a message costs. Whatever is out of the ordinary is
left to the task and session.py, which says what is wrong: refusals, look-ups, scanners, logins, odd spellings.
"""

from __future__ import annotations

from services.mta import replies
from services.mta.client import Role, Transaction
from services.mta.commands import parse_mail, parse_rcpt
from services.mta.limits import MAX_LINE, MAX_REPLIES
from services.mta.session import MailSession
from services.mta.text import DataText
from shared.errors import MailFailure
from shared.ids import new_id

_DATA = b"DATA\r\n"


class PromptSession(MailSession):
    """A session on SMTP's doors."""

    def _obey_at_once(self, data: bytes) -> bytes:
        """Obey the commands at the beginning of `data`, and return the rest."""
        said: list[bytes] = []
        at = 0
        while not self._invited and len(said) < MAX_REPLIES and self._is_at_ease:
            end = data.find(b"\r\n", at, at + MAX_LINE) + 2
            reply = self._reply_at_once(data[at : end - 2]) if end > 1 else None
            if reply is None:
                break
            said.append(reply + b"\r\n")
            at = end
        if said:
            self._writer.write(b"".join(said))
        return data[at:]

    @property
    def _is_at_ease(self) -> bool:
        """Whether the next command needs no word on the session itself; the task has made sure of this one."""
        return not (self._ended or self._leaving or self._choked) and self._commands < self._desk.limits.commands

    def _reply_at_once(self, line: bytes) -> bytes | None:
        """Carry a command out and return its reply; None, and nothing done, where that isn't so simple."""
        if not line.isascii():
            return None
        text = line.decode("ascii")
        if not text.isprintable():
            return None
        try:
            match text[:5]:
                case "MAIL ":
                    return self._mail_at_once(text[5:])
                case "RCPT ":
                    return self._rcpt_at_once(text[5:])
                case "DATA":
                    return self._data_at_once()
        except MailFailure:
            pass  # the task finds the same, and has more to do then than to reply
        return None

    def _mail_at_once(self, argument: str) -> bytes | None:
        client, desk = self._client, self._desk
        known = client.account is None and (client.role is Role.MX or client.trusted)
        if self._transaction is not None or not client.helo or not known or desk.screening is not None:
            return None
        mail = parse_mail(argument.strip(), extended=client.extended)
        if mail.size > desk.limits.message_size or not desk.acceptance.has_space:
            return None
        self._transaction = Transaction(mail, new_id())
        self._commands += 1
        return replies.SENDER_OK

    def _rcpt_at_once(self, argument: str) -> bytes | None:
        transaction, client = self._transaction, self._client
        if transaction is None or transaction.body is not None or transaction.broken or transaction.milters is not None:
            return None
        rcpt = parse_rcpt(argument.strip(), extended=client.extended, smtputf8=transaction.mail.smtputf8)
        if not self._desk.recipients.add_at_once(client, transaction, rcpt):
            return None
        self._commands += 1
        return replies.RECIPIENT_OK

    def _data_at_once(self) -> bytes | None:
        """Say 354; the task hears of the command when the text is here."""
        transaction = self._transaction
        if transaction is None or not transaction.recipients or transaction.body is not None or transaction.broken:
            return None
        if self._client.account is not None:  # whose messages are counted
            return None
        limits = self._desk.limits
        self._invited, self._text_since = True, self.loop.time()
        self._input.hold(_DATA, DataText().held, limits.message_size, self._text_since + limits.message_time)
        return replies.START_TEXT
