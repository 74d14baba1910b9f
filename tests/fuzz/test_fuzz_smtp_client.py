"""The reply parser and the client core against hostile server bytes: clear errors, bounded state, no traceback."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.smtp.client import (
    Abandoned,
    Client,
    ClientOptions,
    Credentials,
    Dialect,
    Finished,
    Over,
    SendBody,
    StartTls,
    TlsPolicy,
)
from shared.smtp.reply import MAX_LINE, MAX_LINES, ReplyError, ReplyParser
from shared.smtp.transaction import Target, Transaction

SEEDS = [
    b"220 mx.test ESMTP\r\n",
    b"250-mx.test\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250-DSN\r\n250 SMTPUTF8\r\n",
    b"250-mx.test\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN\r\n",
    b"250 ok\r\n",
    b"235 ok\r\n",
    b"334 VXNlcg==\r\n",
    b"354 go\r\n",
    b"421 4.3.2 bye\r\n",
    b"450 4.2.1 later\r\n",
    b"550-5.1.1 no\r\n550 5.1.1 such user\r\n",
    b"552 too many\r\n",
    b"221 bye\r\n",
    b"250-",
    b"\r\n",
    b"\x00\xff\r\n",
    b"SSH-2.0\r\n",
    b"250-SIZE 99999999999999999999999999\r\n250 AUTH=\r\n",
]


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """Seeds in any order, often behind a proper greeting, mutated here and there."""
    start = draw(st.sampled_from([[], SEEDS[:2], SEEDS[:2], [SEEDS[0], SEEDS[2]]]))
    pieces = draw(st.lists(st.one_of(st.sampled_from(SEEDS), st.binary(max_size=40)), max_size=25))
    if pieces and draw(st.booleans()):
        victim = draw(st.integers(0, len(pieces) - 1))
        data = bytearray(pieces[victim])
        if data:
            data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
        pieces[victim] = bytes(data)
    return [*start, *pieces]


@settings(max_examples=400, deadline=None)
@given(streams())
def test_the_parser_gives_replies_or_a_clear_error(pieces: list[bytes]) -> None:
    parser = ReplyParser()
    try:
        for piece in pieces:
            for reply in parser.feed(piece):
                assert 200 <= reply.code < 600
                assert len(reply.lines) <= MAX_LINES
                assert all(len(line) <= MAX_LINE for line in reply.lines)
                assert "\n" not in str(reply)
                assert "\x00" not in str(reply)
    except ReplyError as error:
        assert str(error)


@settings(max_examples=600, deadline=None)
@given(
    streams(),
    st.sampled_from(Dialect),
    st.sampled_from(TlsPolicy),
    st.booleans(),
    st.integers(1, 4),
)
def test_every_transaction_is_answered_or_abandoned_once(
    pieces: list[bytes], dialect: Dialect, tls: TlsPolicy, auth: bool, recipients: int
) -> None:
    credentials = Credentials("user", "secret") if auth else None
    client = Client(ClientOptions("relay.test", dialect, tls, credentials, plaintext_auth=True))
    begun: list[Transaction] = []
    ended: list[Transaction] = []
    over = 0

    def take(events: list[object]) -> None:
        nonlocal over
        for event in events:
            match event:
                case Finished(transaction, replies):
                    assert len(replies) == len(transaction.targets)
                    assert all(200 <= reply.code < 300 or 400 <= reply.code < 600 for reply in replies)
                    ended.append(transaction)
                case Abandoned(transaction):
                    ended.append(transaction)
                case SendBody():
                    client.encode(b".x\r\n")
                    client.end_of_data()
                case StartTls():
                    client.tls_started()
                case Over():
                    over += 1

    for piece in pieces:
        take(list(client.receive(piece)))
        while client.can_begin and len(begun) < 10:
            transaction = Transaction("s@y.test", tuple(Target(f"r{n}@x.test") for n in range(recipients)), size=4)
            begun.append(transaction)
            take(list(client.begin(transaction)))
        assert client.outgoing().isascii()
    take(list(client.connection_lost("lost")))
    assert over == 1
    assert len(ended) == len(begun)
    assert set(ended) == set(begun)
    assert client.open_transactions == 0
    assert client.receive(b"250 ok\r\n") == []
