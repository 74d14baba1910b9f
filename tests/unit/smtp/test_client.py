"""The client core against scripted servers: whole, byte by byte, in every order of failure."""

import pytest

from shared.smtp.client import (
    Abandoned,
    Client,
    ClientOptions,
    Credentials,
    Dialect,
    Event,
    Finished,
    Over,
    Ready,
    SendBody,
    StartTls,
    TlsPolicy,
)
from shared.smtp.transaction import Target, Transaction

FULL = b"250-mx.test\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 DSN\r\n"
SLOW = b"250-mx.test\r\n250 8BITMIME\r\n"
PLAIN = ClientOptions("relay.test", tls=TlsPolicy.NEVER)


def ready(ehlo: bytes = FULL, options: ClientOptions = PLAIN) -> Client:
    client = Client(options)
    assert client.receive(b"220 mx.test ESMTP\r\n") == []
    assert client.outgoing() == f"{options.dialect.value} relay.test\r\n".encode()
    (event,) = client.receive(ehlo)
    assert isinstance(event, Ready)
    return client


def transaction(*addresses: str, **values: object) -> Transaction:
    targets = tuple(Target(address) for address in addresses or ("a@x.test",))
    return Transaction("s@y.test", targets, **({"size": 3} | values))  # type: ignore[arg-type]


def send(client: Client, body: bytes = b"hi\r\n") -> bytes:
    return client.encode(body) + client.end_of_data()


def replies(event: Event) -> list[str]:
    assert isinstance(event, Finished)
    return [str(reply) for reply in event.replies]


def test_one_message() -> None:
    client = ready()
    one = transaction("a@x.test", "b@x.test")
    assert client.begin(one) == []
    assert client.outgoing() == (b"MAIL FROM:<s@y.test> SIZE=3\r\nRCPT TO:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\n")
    assert client.receive(b"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n") == [SendBody(one)]
    assert not client.can_begin
    assert send(client) == b"hi\r\n.\r\n"
    (done,) = client.receive(b"250 2.0.0 queued\r\n")
    assert replies(done) == ["250 2.0.0 queued", "250 2.0.0 queued"]
    client.quit()
    assert client.outgoing() == b"QUIT\r\n"
    (over,) = client.receive(b"221 bye\r\n")
    assert isinstance(over, Over)


def test_byte_by_byte_gives_the_same_events() -> None:
    stream = b"250 ok\r\n550 5.1.1 no\r\n250 ok\r\n354 go\r\n"
    whole, slow = ready(), ready()
    one = transaction("a@x.test", "b@x.test")
    whole.begin(one)
    slow.begin(one)
    expected = whole.receive(stream)
    assert [event for octet in stream for event in slow.receive(bytes([octet]))] == expected


def test_the_next_envelope_goes_out_behind_the_message() -> None:
    client = ready()
    one, two = transaction(), transaction("b@x.test")
    client.begin(one)
    client.outgoing()
    client.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    send(client)
    assert client.can_begin
    client.begin(two)
    assert client.outgoing().startswith(b"MAIL")
    assert not client.can_begin
    first, body = client.receive(b"250 one\r\n250 ok\r\n250 ok\r\n354 go\r\n")
    assert replies(first) == ["250 one"]
    assert body == SendBody(two)


def test_without_pipelining_it_is_one_command_at_a_time() -> None:
    client = ready(SLOW)
    client.begin(transaction("a@x.test", "b@x.test"))
    for command in (b"MAIL FROM:<s@y.test>\r\n", b"RCPT TO:<a@x.test>\r\n", b"RCPT TO:<b@x.test>\r\n"):
        assert client.outgoing() == command
        assert client.receive(b"250 ok\r\n") == []
    assert client.outgoing() == b"DATA\r\n"
    assert len(client.receive(b"354 go\r\n")) == 1
    send(client)
    assert not client.can_begin
    client.receive(b"250 ok\r\n")
    assert client.can_begin


def test_without_pipelining_a_refused_envelope_is_given_up_and_reset() -> None:
    client = ready(SLOW)
    client.begin(transaction())
    client.outgoing()
    client.receive(b"250 ok\r\n")
    client.outgoing()
    (done,) = client.receive(b"450 4.2.1 later\r\n")
    assert replies(done) == ["450 4.2.1 later"]
    client.begin(transaction())
    assert client.outgoing() == b"RSET\r\n"
    client.receive(b"250 ok\r\n")
    assert client.outgoing().startswith(b"MAIL")


def test_some_recipients_are_refused() -> None:
    client = ready()
    client.begin(transaction("a@x.test", "b@x.test", "c@x.test"))
    client.receive(b"250 ok\r\n550 5.1.1 no\r\n250 ok\r\n451 4.2.1 later\r\n354 go\r\n")
    send(client)
    (done,) = client.receive(b"250 ok\r\n")
    assert replies(done) == ["550 5.1.1 no", "250 ok", "451 4.2.1 later"]


def test_too_many_recipients_is_temporary() -> None:
    client = ready()
    client.begin(transaction("a@x.test", "b@x.test"))
    client.receive(b"250 ok\r\n250 ok\r\n552 too many\r\n354 go\r\n")
    send(client)
    (done,) = client.receive(b"250 ok\r\n")
    assert replies(done) == ["250 ok", "452 4.5.3 too many"]


def test_data_accepted_without_recipients_gets_an_empty_message() -> None:
    client = ready()
    client.begin(transaction())
    client.outgoing()
    assert client.receive(b"250 ok\r\n550 5.1.1 no\r\n354 go\r\n") == []
    assert client.outgoing() == b".\r\n"
    (done,) = client.receive(b"554 no recipients\r\n")
    assert replies(done) == ["550 5.1.1 no"]
    assert client.can_begin


def test_data_refused_after_all_recipients() -> None:
    client = ready()
    client.begin(transaction())
    (done,) = client.receive(b"250 ok\r\n550 5.1.1 no\r\n503 no recipients\r\n")
    assert replies(done) == ["550 5.1.1 no"]
    client.outgoing()
    client.begin(transaction())
    assert client.outgoing().startswith(b"RSET\r\nMAIL")


def test_mail_refused() -> None:
    client = ready()
    client.begin(transaction("a@x.test", "b@x.test"))
    (done,) = client.receive(b"550 5.7.1 not you\r\n503 x\r\n503 x\r\n503 x\r\n")
    assert replies(done) == ["550 5.7.1 not you"] * 2


def test_odd_replies_are_temporary() -> None:
    client = ready()
    client.begin(transaction("a@x.test"))
    client.receive(b"250 ok\r\n354 what\r\n")
    (done,) = client.receive(b"250 what\r\n")
    assert replies(done)[0].startswith("451 4.5.0 an unexpected reply")


def test_a_session_that_ends_before_any_answer_abandons() -> None:
    client = ready()
    one = transaction()
    client.begin(one)
    abandoned, over = client.receive(b"421 4.3.2 restarting\r\n")
    assert abandoned == Abandoned(one)
    assert isinstance(over, Over)
    assert client.receive(b"250 ok\r\n") == []


def test_a_connection_lost_after_data_defers_that_message_and_abandons_the_next() -> None:
    client = ready()
    one, two = transaction(), transaction()
    client.begin(one)
    client.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    send(client)
    client.begin(two)
    done, abandoned, _over = client.connection_lost("lost connection")
    assert replies(done) == ["421 4.4.2 lost connection while waiting for the reply to the message"]
    assert abandoned == Abandoned(two)


def test_a_host_that_refuses_while_we_send() -> None:
    client = ready()
    client.begin(transaction())
    client.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    client.encode(b"much")
    done, _over = client.receive(b"552 5.3.4 too much\r\n")
    assert replies(done) == ["552 5.3.4 too much"]


def test_lmtp_answers_for_each_recipient() -> None:
    client = ready(FULL, ClientOptions("relay.test", Dialect.LMTP, TlsPolicy.NEVER))
    client.begin(transaction("a@x.test", "b@x.test", "c@x.test"))
    client.receive(b"250 ok\r\n250 ok\r\n550 5.1.1 no\r\n250 ok\r\n354 go\r\n")
    send(client)
    assert client.receive(b"250 2.0.0 a\r\n") == []
    (done,) = client.receive(b"452 4.2.2 full\r\n")
    assert replies(done) == ["250 2.0.0 a", "550 5.1.1 no", "452 4.2.2 full"]


def test_helo_where_ehlo_is_unknown() -> None:
    client = Client(PLAIN)
    client.receive(b"220 old\r\n")
    client.receive(b"502 what\r\n")
    assert client.outgoing().endswith(b"HELO relay.test\r\n")
    (event,) = client.receive(b"250 hello\r\n")
    assert isinstance(event, Ready)
    (done,) = client.begin(transaction(eight_bit=True))
    assert replies(done)[0].startswith("554 5.6.3")


@pytest.mark.parametrize("greeting", [b"554 go away\r\n", b"421 busy\r\n", b"SSH-2.0-x\r\n", b"220-a\r\n250 b\r\n"])
def test_no_greeting_no_session(greeting: bytes) -> None:
    (over,) = Client(PLAIN).receive(greeting)
    assert isinstance(over, Over)


def test_starttls_forgets_what_was_offered_before() -> None:
    client = Client(ClientOptions("relay.test"))
    client.receive(b"220 mx\r\n")
    client.receive(b"250-mx\r\n250-STARTTLS\r\n250 PIPELINING\r\n")
    assert client.outgoing().endswith(b"STARTTLS\r\n")
    assert client.receive(b"220 go\r\n") == [StartTls()]
    client.tls_started()
    assert client.outgoing() == b"EHLO relay.test\r\n"
    (event,) = client.receive(b"250 mx\r\n")
    assert event == Ready(client.extensions)
    assert "PIPELINING" not in client.extensions


@pytest.mark.parametrize("rest", [b"250 injected\r\n", b"25"])
def test_plain_text_behind_starttls_is_an_attack(rest: bytes) -> None:
    client = Client(ClientOptions("relay.test"))
    client.receive(b"220 mx\r\n")
    client.receive(b"250-mx\r\n250 STARTTLS\r\n")
    assert isinstance(client.receive(b"220 go\r\n" + rest)[-1], Over)


def test_tls_refused() -> None:
    for policy, kind in ((TlsPolicy.OPPORTUNISTIC, Ready), (TlsPolicy.REQUIRED, Over)):
        client = Client(ClientOptions("relay.test", tls=policy))
        client.receive(b"220 mx\r\n")
        client.receive(b"250-mx\r\n250 STARTTLS\r\n")
        assert isinstance(client.receive(b"454 no\r\n")[-1], kind)
    client = Client(ClientOptions("relay.test", tls=TlsPolicy.REQUIRED))
    client.receive(b"220 mx\r\n")
    assert isinstance(client.receive(b"250 mx\r\n")[-1], Over)


def authenticating(offer: bytes, *, plaintext: bool = True) -> tuple[Client, list[Event]]:
    client = Client(
        ClientOptions("relay.test", tls=TlsPolicy.NEVER, credentials=Credentials("u", "p"), plaintext_auth=plaintext)
    )
    client.receive(b"220 mx\r\n")
    events = client.receive(b"250-mx\r\n250 " + offer + b"\r\n")
    return client, events


def test_auth_plain_and_login() -> None:
    client, _ = authenticating(b"AUTH LOGIN PLAIN")
    assert client.outgoing().endswith(b"AUTH PLAIN AHUAcA==\r\n")
    assert isinstance(client.receive(b"235 ok\r\n")[0], Ready)
    client, _ = authenticating(b"AUTH=LOGIN")
    assert client.outgoing().endswith(b"AUTH LOGIN\r\n")
    client.receive(b"334 VXNlcm5hbWU6\r\n")
    assert client.outgoing() == b"dQ==\r\n"
    client.receive(b"334 UGFzc3dvcmQ6\r\n")
    assert client.outgoing() == b"cA==\r\n"
    assert isinstance(client.receive(b"235 ok\r\n")[0], Ready)


def test_auth_that_cannot_be() -> None:
    assert isinstance(authenticating(b"AUTH PLAIN", plaintext=False)[1][0], Over)
    assert isinstance(authenticating(b"AUTH GSSAPI")[1][0], Over)
    client, _ = authenticating(b"AUTH PLAIN")
    assert isinstance(client.receive(b"535 5.7.8 no\r\n")[0], Over)
    assert "'p'" not in repr(client.options)


@pytest.mark.parametrize(
    ("ehlo", "values", "reply"),
    [
        (FULL, {"size": 1001}, "552 5.3.4"),
        (SLOW, {"smtputf8": True}, "550 5.6.7"),
        (b"250 mx\r\n", {"eight_bit": True}, "554 5.6.3"),
    ],
)
def test_what_a_host_cannot_take_fails_here(ehlo: bytes, values: dict[str, object], reply: str) -> None:
    client = ready(ehlo)
    (done,) = client.begin(transaction(**values))
    assert replies(done)[0].startswith(reply)
    assert client.outgoing() == b""
    assert client.can_begin


def test_a_recipient_that_cannot_be_sent_spares_the_others() -> None:
    client = ready(SLOW)
    client.begin(transaction("é@x.test", "a@x.test", "b\r\nDATA@x.test"))
    for _ in range(2):
        client.receive(b"250 ok\r\n")
    client.receive(b"354 go\r\n")
    send(client)
    (done,) = client.receive(b"250 ok\r\n")
    assert [text[:9] for text in replies(done)] == ["553 5.6.7", "250 ok", "553 5.1.3"]


def test_parameters() -> None:
    client = ready()
    target = Target("é@x.test", orcpt="rfc822;a+40x", notify="SUCCESS,FAILURE")
    client.begin(Transaction("", (target,), size=5, eight_bit=True, ret="HDRS", envid="a+20b"))
    assert client.outgoing().decode() == (
        "MAIL FROM:<> SIZE=5 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+20b\r\n"
        "RCPT TO:<é@x.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a+40x\r\nDATA\r\n"
    )


def test_parameters_that_would_break_the_line_are_left_out() -> None:
    client = ready()
    target = Target("a@x.test", orcpt="rfc822;a\r\nb", notify="NEVER,SUCCESS")
    client.begin(Transaction("", (target,), size=5, ret="ALL", envid="a b"))
    assert client.outgoing() == b"MAIL FROM:<> SIZE=5\r\nRCPT TO:<a@x.test>\r\nDATA\r\n"
