"""The client's side of an SMTP or LMTP session (RFC 5321, RFC 2033): bytes in, events and bytes out.

    client = Client(options)
    events = client.receive(data)      # greeting, EHLO, STARTTLS, AUTH go by themselves up to Ready
    wire = client.outgoing()           # to be sent after each call
    client.begin(transaction)          # as long as `can_begin`
    SendBody -> client.encode(piece)…, client.end_of_data()
    Finished -> a reply for each target

With PIPELINING (RFC 2920) MAIL, every RCPT and DATA go out together, and behind the last octets of one message the
envelope of the next: one round trip for each message.
"""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from shared.smtp.dots import DotStuffer
from shared.smtp.events import (
    Abandoned,
    ClientOptions,
    Credentials,
    Dialect,
    Event,
    Finished,
    Over,
    Ready,
    SendBody,
    StartTls,
    State,
    TlsPolicy,
    Verb,
)
from shared.smtp.extensions import Extensions, parse_extensions
from shared.smtp.reply import Reply, ReplyError, ReplyParser, local_reply
from shared.smtp.transaction import Transaction, mail_command, rcpt_command, refusals

__all__ = [
    "Abandoned",
    "Client",
    "ClientOptions",
    "Credentials",
    "Dialect",
    "Event",
    "Finished",
    "Over",
    "Ready",
    "SendBody",
    "StartTls",
    "State",
    "TlsPolicy",
    "Verb",
]

READY_CODE = 220
MAIL_INPUT = 354
AUTH_CONTINUE = 334
AUTH_DONE = 235
CLOSING = 421
TOO_MANY_RECIPIENTS = 552  # RFC 5321 §4.5.3.1.10: to be taken as 452 when it answers RCPT


@dataclass(slots=True, eq=False)
class _Progress:
    """A transaction under way."""

    transaction: Transaction
    replies: list[Reply | None]
    accepted: list[int]  # indices of the targets that the server took
    awaiting: deque[int]  # LMTP: indices whose reply to the message is still to come
    mail_refused: bool = False
    answered: bool = False
    sending: bool = False  # between DATA's 354 and the end of the data


@dataclass(frozen=True, slots=True)
class _Command:
    """A line to send, or sent, whose reply is awaited."""

    verb: Verb
    line: bytes = b""
    progress: _Progress | None = None
    index: int = 0


class Client:
    """One session; nothing is awaited and nothing is read or written in here."""

    def __init__(self, options: ClientOptions) -> None:
        self.options = options
        self.extensions = Extensions()
        self.state = State.GREETING
        self.encrypted = options.encrypted
        self.greeting = ""  # what the server said of itself
        self.finished = 0  # transactions that the server has answered
        self._parser = ReplyParser()
        self._out: list[bytes] = []
        self._events: list[Event] = []
        self._waiting: deque[_Command] = deque()  # not sent yet
        self._expected: deque[_Command] = deque([_Command(Verb.GREETING)])
        self._open: deque[_Progress] = deque()
        self._stuffer = DotStuffer()
        self._auth_answers: deque[bytes] = deque()
        self._reset_first = False
        self._held = False  # DATA is unanswered or the message is being sent: nothing else may follow
        self._replies = self._reply_table()

    @property
    def stage(self) -> str:
        """What the session is waiting for, for a person."""
        if self._open and self._open[0].sending:
            return "sending the message"
        return f"waiting for {self._expected[0].verb.value}" if self._expected else "nothing was awaited"

    @property
    def awaited(self) -> Verb | None:
        """What the next reply is for: the time to wait for it depends on that (RFC 5321 §4.5.3.2)."""
        return self._expected[0].verb if self._expected else None

    @property
    def open_transactions(self) -> int:
        """Transactions that have begun and aren't finished."""
        return len(self._open)

    @property
    def can_begin(self) -> bool:
        """Say whether another transaction may begin now."""
        if self.state is not State.READY or self._held or self._waiting:
            return False
        if "PIPELINING" in self.extensions:
            # at most one message whose end is unanswered: its reply is what we record first
            return all(command.verb in (Verb.END, Verb.RSET) for command in self._expected) and len(self._open) < 2
        return not self._expected and not self._open

    @property
    def is_over(self) -> bool:
        """Say whether the session has ended."""
        return self.state is State.OVER

    @property
    def is_idle(self) -> bool:
        """Say whether nothing is under way in a session that could take more."""
        return self.state is State.READY and not self._open and not self._expected and not self._waiting

    def outgoing(self) -> bytes:
        """Return what is to be sent now, once."""
        if not self._out:
            return b""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def receive(self, data: bytes) -> list[Event]:
        """Take bytes from the server and return what they mean."""
        if self.is_over:
            return []
        try:
            replies = self._parser.feed(data)
            for reply in replies:
                self._on_reply(reply)
                if self.is_over:
                    break
                if self.state is State.HANDSHAKE and (reply is not replies[-1] or not self._parser.is_empty):
                    raise ReplyError("the host sent more after its reply to STARTTLS")  # CVE-2011-0411
        except ReplyError as error:
            self._end(local_reply(451, "4.5.0", f"{error} ({self.stage})"))
        return self._take_events()

    def begin(self, transaction: Transaction) -> list[Event]:
        """Start a transaction; one that this server can't take is Finished at once."""
        if not self.can_begin:
            raise RuntimeError("no transaction may begin now")
        replies = refusals(transaction, self.extensions)
        progress = _Progress(transaction, replies, [], deque())
        if None not in replies:
            self._finish(progress)
            return self._take_events()
        self._open.append(progress)
        self._queue_envelope(progress)
        self._pump()
        return self._take_events()

    def encode(self, piece: bytes) -> bytes:
        """Return a piece of the message in wire form; BareLineEnd: the connection must be dropped."""
        return self._stuffer.encode(piece)

    def end_of_data(self) -> bytes:
        """Return what ends the message on the wire; its reply is awaited from now on."""
        end = self._stuffer.end()
        self.message_sent()
        return end

    def message_sent(self) -> None:
        """Take note that a whole message (`dots.stuff`) went out, its end included."""
        progress = self._open[-1]
        progress.sending = False
        self._held = False
        self._await_end(progress)

    def tls_started(self) -> None:
        """Go on in TLS: all that was learned before is forgotten (RFC 3207 §4.2)."""
        self.encrypted = True
        self._parser = ReplyParser()
        self.extensions = Extensions()
        self._hello()

    def quit(self) -> None:
        """Say QUIT if nothing is under way."""
        if self.is_idle:
            self._send(Verb.QUIT, b"QUIT\r\n")

    def connection_lost(self, why: str) -> list[Event]:
        """Take note that the connection is gone."""
        if not self.is_over:
            self._end(local_reply(CLOSING, "4.4.2", f"{why} while {self.stage}"))
        return self._take_events()

    def _reply_table(self) -> dict[Verb, Callable[[_Command, Reply], None]]:
        return {
            Verb.GREETING: self._on_greeting,
            Verb.EHLO: self._on_ehlo,
            Verb.HELO: self._on_helo,
            Verb.STARTTLS: self._on_starttls,
            Verb.AUTH: self._on_auth,
            Verb.MAIL: self._on_mail,
            Verb.RCPT: self._on_rcpt,
            Verb.DATA: self._on_data,
            Verb.END: self._on_end,
            Verb.RSET: self._on_rset,
            Verb.QUIT: self._on_quit,
        }

    def _on_reply(self, reply: Reply) -> None:
        if not self._expected:
            self._on_unexpected(reply)
            return
        command = self._expected.popleft()
        self._replies[command.verb](command, reply)
        if self.is_over:
            return
        if reply.code == CLOSING:
            self._end(reply)
        else:
            self._pump()

    def _on_unexpected(self, reply: Reply) -> None:
        """A host that gives up while we send says so at once; anything else makes no sense."""
        if reply.code == CLOSING or (self._held and reply.code >= 400):
            for progress in [progress for progress in self._open if progress.sending]:
                self._settle(progress, reply)
            self._end(reply)
        else:
            raise ReplyError(f"an unexpected reply: {reply}")

    # The way to Ready.

    def _on_greeting(self, _command: _Command, reply: Reply) -> None:
        self.greeting = reply.text
        if reply.code == READY_CODE:
            self._hello()
        else:
            self._end(reply)

    def _hello(self) -> None:
        self.state = State.HELLO
        self._send(Verb.EHLO, f"{self.options.dialect.value} {self.options.hostname}\r\n".encode())

    def _on_ehlo(self, _command: _Command, reply: Reply) -> None:
        if reply.is_positive:
            self.extensions = parse_extensions(reply)
            self._after_hello()
        elif reply.is_permanent and self.options.dialect is Dialect.SMTP:
            self._send(Verb.HELO, f"HELO {self.options.hostname}\r\n".encode())
        else:
            self._end(reply)

    def _on_helo(self, _command: _Command, reply: Reply) -> None:
        if reply.is_positive:
            self._after_hello()
        else:
            self._end(reply)

    def _after_hello(self) -> None:
        policy = self.options.tls
        if not self.encrypted and policy is not TlsPolicy.NEVER and "STARTTLS" in self.extensions:
            self._send(Verb.STARTTLS, b"STARTTLS\r\n")
        elif not self.encrypted and policy is TlsPolicy.REQUIRED:
            self._end(local_reply(451, "4.7.4", "TLS is required and the host doesn't offer it"))
        else:
            self._authenticate()

    def _on_starttls(self, _command: _Command, reply: Reply) -> None:
        if reply.code == READY_CODE:
            self.state = State.HANDSHAKE
            self._events.append(StartTls())
        elif self.options.tls is TlsPolicy.REQUIRED:
            self._end(reply)
        else:
            self._authenticate()

    def _authenticate(self) -> None:
        credentials = self.options.credentials
        if credentials is None:
            self._become_ready()
            return
        refusal = self._refuse_auth()
        if refusal:
            self._end(local_reply(454, "4.7.0", refusal))
            return
        self.state = State.AUTH
        user, password = credentials.user.encode(), credentials.password.encode()
        if "PLAIN" in self.extensions.mechanisms:
            self._send(Verb.AUTH, b"AUTH PLAIN " + base64.b64encode(b"\0" + user + b"\0" + password) + b"\r\n")
        else:
            self._auth_answers.extend((base64.b64encode(user), base64.b64encode(password)))
            self._send(Verb.AUTH, b"AUTH LOGIN\r\n")

    def _refuse_auth(self) -> str:
        if not self.encrypted and not self.options.plaintext_auth:
            return "no TLS with the host, and a password isn't sent without"
        if not self.extensions.mechanisms & {"PLAIN", "LOGIN"}:
            return "the host offers neither AUTH PLAIN nor LOGIN"
        return ""

    def _on_auth(self, _command: _Command, reply: Reply) -> None:
        if reply.code == AUTH_CONTINUE and self._auth_answers:
            self._send(Verb.AUTH, self._auth_answers.popleft() + b"\r\n")
        elif reply.code == AUTH_DONE:
            self._become_ready()
        else:
            self._end(_refusal(reply))

    def _become_ready(self) -> None:
        self.state = State.READY
        self._events.append(Ready(self.extensions))

    # Transactions.

    def _queue_envelope(self, progress: _Progress) -> None:
        if self._reset_first:
            self._reset_first = False
            self._waiting.append(_Command(Verb.RSET, b"RSET\r\n"))
        transaction, extensions = progress.transaction, self.extensions
        self._waiting.append(_Command(Verb.MAIL, mail_command(transaction, extensions), progress))
        for index, target in enumerate(transaction.targets):
            if progress.replies[index] is None:
                self._waiting.append(_Command(Verb.RCPT, rcpt_command(target, extensions), progress, index))
        self._waiting.append(_Command(Verb.DATA, b"DATA\r\n", progress))

    def _pump(self) -> None:
        """Send what may be sent: all up to DATA at once, or one command after the other's reply."""
        pipelining = "PIPELINING" in self.extensions
        while self._waiting and not self._held and (pipelining or not self._expected):
            command = self._waiting.popleft()
            self._held = command.verb is Verb.DATA
            self._out.append(command.line)
            self._expected.append(command)

    def _on_mail(self, command: _Command, reply: Reply) -> None:
        progress = _of(command)
        if reply.code == CLOSING:
            return  # about the session, not about this message
        progress.answered = True
        if not reply.is_positive:
            progress.mail_refused = True
            progress.replies = [known or _refusal(reply) for known in progress.replies]
            self._give_up_unsent(progress)

    def _on_rcpt(self, command: _Command, reply: Reply) -> None:
        progress = _of(command)
        if progress.mail_refused:
            return
        if reply.is_positive:
            progress.accepted.append(command.index)
        else:
            progress.replies[command.index] = _rcpt_refusal(reply, command.index)
        if not progress.accepted and None not in progress.replies:
            self._give_up_unsent(progress)

    def _give_up_unsent(self, progress: _Progress) -> None:
        """Without pipelining DATA needn't be tried when nothing was accepted."""
        if self._waiting and not self._expected:
            self._waiting.clear()
            self._reset_first = True
            self._finish(progress)

    def _on_data(self, command: _Command, reply: Reply) -> None:
        progress = _of(command)
        if reply.code != MAIL_INPUT:
            self._held = False
            self._reset_first = True
            self._settle(progress, _refusal(reply))
        elif progress.accepted:
            progress.sending = True
            self._stuffer = DotStuffer()
            self._events.append(SendBody(progress.transaction))
        else:
            # RFC 2920 §3.1: a server may say 354 without recipients; an empty message ends that
            self._held = False
            self._out.append(b".\r\n")
            self._expected.append(_Command(Verb.END, progress=progress))

    def _await_end(self, progress: _Progress) -> None:
        replies = len(progress.accepted) if self.options.dialect is Dialect.LMTP else 1
        progress.awaiting.extend(progress.accepted)
        self._expected.extend(_Command(Verb.END, progress=progress) for _ in range(replies))

    def _on_end(self, command: _Command, reply: Reply) -> None:
        progress = _of(command)
        final = reply if reply.is_positive else _refusal(reply)
        if self.options.dialect is Dialect.SMTP or not progress.accepted:
            self._settle(progress, final)
            return
        progress.replies[progress.awaiting.popleft()] = final
        if not progress.awaiting:
            self._finish(progress)

    def _on_rset(self, _command: _Command, reply: Reply) -> None:
        if not reply.is_positive:
            self._end(reply)

    def _on_quit(self, _command: _Command, reply: Reply) -> None:
        self._end(reply)

    def _settle(self, progress: _Progress, reply: Reply) -> None:
        progress.replies = [known or reply for known in progress.replies]
        self._finish(progress)

    def _finish(self, progress: _Progress) -> None:
        if progress in self._open:
            self._open.remove(progress)
            self.finished += 1
        replies = tuple(reply for reply in progress.replies if reply is not None)
        self._events.append(Finished(progress.transaction, replies))

    def _end(self, reply: Reply) -> None:
        """End the session: what was answered or sent is decided, the rest is for another connection."""
        self.state = State.OVER
        self._held = False
        self._waiting.clear()
        self._expected.clear()
        temporary = reply if 400 <= reply.code < 500 else local_reply(CLOSING, "4.4.2", str(reply))
        while self._open:
            progress = self._open[0]
            if progress.answered:
                self._settle(progress, temporary)
            else:
                self._open.popleft()
                self._events.append(Abandoned(progress.transaction))
        self._events.append(Over(reply))

    def _send(self, verb: Verb, line: bytes) -> None:
        self._out.append(line)
        self._expected.append(_Command(verb))

    def _take_events(self) -> list[Event]:
        events, self._events = self._events, []
        return events


def _of(command: _Command) -> _Progress:
    assert command.progress is not None
    return command.progress


def _refusal(reply: Reply) -> Reply:
    """Return a reply that says no; one that says something else is a temporary failure."""
    if 400 <= reply.code < 600:
        return reply
    return local_reply(451, "4.5.0", f"an unexpected reply: {reply}")


def _rcpt_refusal(reply: Reply, index: int) -> Reply:
    if reply.code == TOO_MANY_RECIPIENTS and index and reply.status in ("", "5.5.3"):
        return Reply(452, (f"4.5.3 {reply.text.removeprefix('5.5.3 ')}",))
    return _refusal(reply)
