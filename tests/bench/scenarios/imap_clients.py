"""imap-login, imap-append, imap-mix and pop3: many clients, small pieces of work."""

from __future__ import annotations

import itertools
import random
import statistics
import time
from collections.abc import Iterator
from functools import partial

from tests.bench.accounts import ACCOUNTS, PASSWORD
from tests.bench.corpus import Mail, corpus
from tests.bench.drivers.conversations import Conversation, Refused, connect, converse, exchange
from tests.bench.drivers.imap import GREETING, append_request, appender, load, login_line, ok
from tests.bench.packetboat import Packetboat
from tests.bench.scenario import Better, Meter, Row, Samples, Scenario, Setting
from tests.bench.scenarios.sides import (
    BOTH_FORMATS,
    BOTH_FORMATS_TUNED,
    dovecot_mdbox,
    packetboat,
    packetboat_access,
    tuned_mdbox,
)
from tests.bench.server import Endpoint, Server
from tests.tools.certificates import trusting_context

LOGIN_CLIENTS = 50
APPEND_CLIENTS = 20
FIRST_LOGINS = 4  # at once: they hash passwords, and Dovecot makes mailboxes
MIX_CLIENTS = 50
MIX_ACCOUNTS = 90
MIX_BEGINNING = 20  # messages in each account
MIX_CORPUS = 500
POP3_READS = 3
MAIL_SIZE = 5000
PASSWORD_CHANGE_SECONDS = 1.0  # within which the old password must fail everywhere
OTHER_PASSWORD = "another-password-entirely"
CHECKED_CONNECTIONS = 8  # tried at once: failed logins are slowed, one after the other would take minutes


# login


def prepare_small(server: Server, setting: Setting) -> None:
    """One message in each account, so that SELECT has something to say."""
    server.reset()
    server.start()
    mails = list(corpus(len(ACCOUNTS), MAIL_SIZE))
    for address, mail in zip(ACCOUNTS, mails, strict=True):
        load(server.imap, address, [mail])
    server.stop()


def measure_login(row: str, tls: bool, server: Server, setting: Setting) -> Samples:
    """Complete sessions (connect, login, select, logout) per second, after each account has logged in once."""
    server.start()
    endpoint, context = (server.imaps, trusting_context()) if tls else (server.imap, None)
    converse((_session(address) for address in ACCOUNTS), endpoint, LOGIN_CLIENTS, tls=context)
    done = itertools.count()
    with Meter(server, setting.work) as meter:
        until = time.perf_counter() + setting.sizes.login_seconds
        sessions = (_counted(_session(address), done) for address in itertools.cycle(ACCOUNTS))
        converse(sessions, endpoint, LOGIN_CLIENTS, tls=context, until=until)
    count = next(done)
    notes = _check_password_change(server) if isinstance(server, Packetboat) else {}
    server.stop()
    return {row: meter.sample(count / meter.seconds, work=count, notes=notes)}


def _session(address: str) -> Conversation:
    yield b"", GREETING
    yield login_line(address), ok()
    yield b"a SELECT INBOX\r\n", ok()
    yield b"a LOGOUT\r\n", ok()


def _counted(conversation: Conversation, done: Iterator[int]) -> Conversation:
    yield from conversation
    next(done)


def _check_password_change(server: Packetboat) -> dict[str, bool]:
    """Change a password and require that the old one, cached as it was, fails within a second everywhere."""
    address = ACCOUNTS[-1]
    _set_password(server, address, OTHER_PASSWORD)
    time.sleep(PASSWORD_CHANGE_SECONDS)
    accepted = _logins_accepted(server.imap, address)
    _set_password(server, address, PASSWORD)
    if accepted:
        raise AssertionError(f"the old password was accepted {accepted} times a second after the change")
    return {"old_password_fails_within_1_s": True}


def _set_password(server: Packetboat, address: str, password: str) -> None:
    server.stack.cli("account", "passwd", address, "--password-stdin", input=password + "\n")


def _logins_accepted(endpoint: Endpoint, address: str) -> int:
    """How many of several simultaneous logins with PASSWORD succeed."""
    buffer = memoryview(bytearray(4096))
    connections = [connect(endpoint) for _ in range(CHECKED_CONNECTIONS)]
    for connection in connections:
        exchange(connection, b"", b"* OK", buffer)
        connection.sendall(login_line(address))
    accepted = 0
    for connection in connections:
        accepted += connection.recv(4096).split(b"\r\n")[-2].startswith(b"a OK")
        connection.close()
    return accepted


# append


def measure_append(server: Server, setting: Setting) -> Samples:
    """APPENDs per second by 20 clients, each to an account of its own that has logged in once before."""
    server.reset()
    server.start()
    converse((_session(address) for address in ACCOUNTS[:APPEND_CLIENTS]), server.imap, FIRST_LOGINS)
    requests = iter([append_request(mail) for mail in corpus(setting.sizes.append, MAIL_SIZE)])
    with Meter(server, setting.work) as meter:
        clients = (appender(address, requests) for address in ACCOUNTS[:APPEND_CLIENTS])
        converse(clients, server.imap, APPEND_CLIENTS)
    server.stop()
    rate = setting.sizes.append / meter.seconds
    return {"imap-append": meter.sample(rate, work=setting.sizes.append)}


# pop3


def prepare_pop3(server: Server, setting: Setting) -> None:
    """One INBOX of 1,000 messages."""
    server.reset()
    server.start()
    load(server.imap, ACCOUNTS[0], list(corpus(setting.sizes.small_mailbox, MAIL_SIZE)))
    server.stop()


def measure_pop3(server: Server, setting: Setting) -> Samples:
    """RETRs per second of one client, one after the other; the median of three readings."""
    server.start()
    rates = []
    with Meter(server, setting.work) as meter:
        for _ in range(POP3_READS):
            rates.append(_read_maildrop(server.pop3, setting.sizes.small_mailbox))
    server.stop()
    work = POP3_READS * setting.sizes.small_mailbox
    return {"pop3": meter.sample(statistics.median(rates), work=work)}


def _read_maildrop(endpoint: Endpoint, messages: int) -> float:
    buffer = memoryview(bytearray(1 << 20))
    user, password = ACCOUNTS[0].encode(), PASSWORD.encode()
    with connect(endpoint) as connection:
        exchange(connection, b"", b"+OK", buffer)
        exchange(connection, b"USER " + user + b"\r\n", b"+OK", buffer)
        exchange(connection, b"PASS " + password + b"\r\n", b"+OK", buffer)
        requests = [b"RETR %d\r\n" % number for number in range(1, messages + 1)]
        begin = time.perf_counter()
        for request in requests:
            exchange(connection, request, b".\r\n", buffer)
        seconds = time.perf_counter() - begin
        exchange(connection, b"QUIT\r\n", b"+OK", buffer)
    return messages / seconds


# mix


def prepare_mix(server: Server, setting: Setting) -> None:
    """A few messages in each of the accounts."""
    server.reset()
    server.start()
    mails = list(corpus(MIX_BEGINNING, MAIL_SIZE))
    for address in ACCOUNTS[:MIX_ACCOUNTS]:
        load(server.imap, address, mails)
    server.stop()


def measure_mix(row: str, server: Server, setting: Setting) -> Samples:
    """Commands per second of clients that each repeat a session like imaptest's, after each account has logged in."""
    server.start()
    converse((_session(address) for address in ACCOUNTS[:MIX_ACCOUNTS]), server.imap, MIX_CLIENTS)
    mails = list(corpus(MIX_CORPUS, MAIL_SIZE, run="mix"))
    done = itertools.count()
    with Meter(server, setting.work) as meter:
        until = time.perf_counter() + setting.sizes.mix_seconds
        sessions = (_mixed_session(number, mails, done, until) for number in itertools.count())
        converse(sessions, server.imap, MIX_CLIENTS, until=until)
    count = next(done)
    server.stop()
    return {row: meter.sample(count / meter.seconds, work=count)}


def _mixed_session(number: int, mails: list[Mail], done: Iterator[int], until: float) -> Conversation:
    """Login, list, status, select, then fetches, stores, an append and an expunge, logout; all counted."""
    rng = random.Random(number)
    yield b"", GREETING
    for command in _mixed_commands(rng, mails):
        # NO is a proper answer: another session may just have expunged the message (RFC 2180).
        reply = yield command, (b"a ",)
        if reply[reply.rfind(b"\n", 0, -2) + 1 :].startswith(b"a BAD"):
            raise Refused(reply[-300:].decode(errors="replace"))
        next(done)
        if time.perf_counter() >= until:
            return


def _mixed_commands(rng: random.Random, mails: list[Mail]) -> Iterator[bytes]:
    """The same for every server with the same seed. Deletes one message for each that it appends."""
    yield login_line(ACCOUNTS[rng.randrange(MIX_ACCOUNTS)])
    yield b'a LIST "" "*"\r\n'
    yield b"a STATUS INBOX (MESSAGES UIDNEXT UNSEEN)\r\n"
    yield b"a SELECT INBOX\r\n"
    for _ in range(6):
        first = rng.randint(1, MIX_BEGINNING // 2)
        yield rng.choice(
            (
                b"a FETCH %d:%d (UID FLAGS ENVELOPE BODYSTRUCTURE)\r\n" % (first, first + 5),
                b"a FETCH %d (BODY.PEEK[])\r\n" % first,
                b"a FETCH %d (BODY.PEEK[HEADER])\r\n" % first,
                b"a STORE %d +FLAGS (\\Seen)\r\n" % first,
                b"a STORE %d -FLAGS (\\Seen \\Answered)\r\n" % first,
            )
        )
    yield append_request(rng.choice(mails))
    yield b"a STORE %d +FLAGS (\\Deleted)\r\n" % rng.randint(1, MIX_BEGINNING // 2)
    yield b"a EXPUNGE\r\n"
    yield b"a LOGOUT\r\n"


def _login_scenario(name: str, title: str, bar: float | None, peers: object, tls: bool = False) -> Scenario:
    return Scenario(
        name=name,
        title=title,
        rows=(Row(name, "sessions/s", Better.HIGHER, bar),),
        ours=packetboat,
        peers=peers,  # type: ignore[arg-type]
        measure=partial(measure_login, name, tls),
        prepare=prepare_small,
        fixture="login",
        tls=tls,
    )


def _mix_scenario(name: str, peer: str, bar: float | None, peers: object) -> Scenario:
    return Scenario(
        name=name,
        title=f"imaptest-like mix, 50 clients, 90 accounts; {peer}",
        rows=(Row(name, "commands/s", Better.HIGHER, bar),),
        ours=packetboat_access,
        peers=peers,  # type: ignore[arg-type]
        measure=partial(measure_mix, name),
        prepare=prepare_mix,
        fixture="mix",
        service_alone=True,
    )


SCENARIOS = (
    _login_scenario(
        "imap-login",
        "login + select + logout, 50 clients; Dovecot with process reuse",
        1.0,
        {"dovecot tuned": tuned_mdbox},
    ),
    _login_scenario(
        "imap-login-shipped",
        "login + select + logout, 50 clients; Dovecot as shipped",
        10.0,
        {"dovecot shipped": dovecot_mdbox},
    ),
    _login_scenario(
        "imap-login-tls",
        "the same over TLS; Dovecot with process reuse",
        None,
        {"dovecot tuned": tuned_mdbox},
        tls=True,
    ),
    Scenario(
        name="imap-append",
        title="APPEND, 20 clients, 5 KB",
        rows=(Row("imap-append", "messages/s", Better.HIGHER, 1.5),),
        ours=packetboat_access,
        peers=BOTH_FORMATS,
        measure=measure_append,
        service_alone=True,
    ),
    Scenario(
        name="pop3",
        title="RETR of 1,000 messages, one client",
        rows=(Row("pop3", "messages/s", Better.HIGHER, 1.0),),
        ours=packetboat,
        peers=BOTH_FORMATS,
        measure=measure_pop3,
        prepare=prepare_pop3,
        fixture="pop3",
    ),
    _mix_scenario("imap-mix", "Dovecot as shipped", 1.5, BOTH_FORMATS),
    _mix_scenario("imap-mix-tuned", "Dovecot with process reuse", None, BOTH_FORMATS_TUNED),
)
