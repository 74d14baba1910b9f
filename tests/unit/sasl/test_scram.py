"""SCRAM with the RFCs' own examples, channel bindings, several passwords, and what has to be refused."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode

import pytest

from shared.sasl.mechanism import Challenge, Lookup, Proven, Reason, Refused, Step
from shared.sasl.saslprep import saslprep
from shared.sasl.scram import Algorithm, Scram, Verifier, decoy, make_verifier, parse_verifier

SHA256_SALT, SHA1_SALT = b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), b64decode("QSXCR+Q6sek8bf92")
END_POINT = b"\x01" * 32


def rfc7677() -> tuple[Scram, Verifier]:
    scram = Scram(Algorithm.SHA_256, {}, plus=False, nonce=lambda: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
    return scram, make_verifier(Algorithm.SHA_256, "pencil", SHA256_SALT, 4096)


def test_the_example_of_rfc_7677() -> None:
    scram, verifier = rfc7677()
    assert scram.start(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO") == Lookup("user", "SCRAM-SHA-256")
    assert scram.provide([(7, verifier)]) == Challenge(
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    final = (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    assert scram.respond(final) == Challenge(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", is_last=True)
    assert scram.respond(b"") == Proven("user", 7)


def test_the_example_of_rfc_5802() -> None:
    scram = Scram(Algorithm.SHA_1, {}, plus=False, nonce=lambda: "3rfcNHYJY1ZVvWVs7j")
    assert scram.start(b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL") == Lookup("user", "SCRAM-SHA-1")
    challenge = scram.provide([(1, make_verifier(Algorithm.SHA_1, "pencil", SHA1_SALT, 4096))])
    assert challenge == Challenge(b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096")
    final = b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="
    assert scram.respond(final) == Challenge(b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=", is_last=True)
    assert scram.respond(b"") == Proven("user", 1)


class Client:
    """The other side, written from the RFC."""

    def __init__(self, password: str, header: bytes = b"n,,", bound: bytes = b"") -> None:
        self.password, self.header, self.bound = password, header, bound
        self.expected = b""  # the server's last word

    def first(self, name: bytes = b"tim") -> bytes:
        self.bare = b"n=" + name + b",r=clientnonce"
        return self.header + self.bare

    def final(self, challenge: Challenge | object) -> bytes:
        assert isinstance(challenge, Challenge)
        values = dict(part.split(b"=", 1) for part in challenge.data.split(b","))
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(), b64decode(values[b"s"]), int(values[b"i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        text = b"c=" + b64encode(self.header + self.bound) + b",r=" + values[b"r"]
        signed = b",".join((self.bare, challenge.data, text))
        signature = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
        server_key = hmac.digest(salted, b"Server Key", "sha256")
        self.expected = b"v=" + b64encode(hmac.digest(server_key, signed, "sha256"))
        proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        return text + b",p=" + b64encode(proof)


def verifiers(*passwords: str) -> list[tuple[int, Verifier]]:
    return [(n, make_verifier(Algorithm.SHA_256, p, b"salt" * 4, 4096)) for n, p in enumerate(passwords, 1)]


def test_any_of_several_passwords() -> None:
    for number, password in ((1, "first"), (2, "app one"), (3, "app two")):
        scram, client = Scram(Algorithm.SHA_256, {}, plus=False), Client(password)
        scram.start(client.first())
        final = client.final(scram.provide(verifiers("first", "app one", "app two")))
        assert isinstance(scram.respond(final), Challenge)
        assert scram.respond(b"") == Proven("tim", number)


@pytest.mark.parametrize("known", [True, False])
def test_a_wrong_password_and_an_unknown_name_look_alike(known: bool) -> None:
    scram, client = Scram(Algorithm.SHA_256, {}, plus=False), Client("wrong")
    scram.start(client.first())
    challenge = scram.provide(verifiers("right") if known else [(0, decoy(Algorithm.SHA_256, b"salt" * 4))])
    assert scram.respond(client.final(challenge)) == Refused(Reason.WRONG_PROOF, "tim")


def test_channel_binding() -> None:
    bindings = {"tls-server-end-point": END_POINT}
    for bound, right in ((END_POINT, True), (b"\x02" * 32, False)):
        scram = Scram(Algorithm.SHA_256, bindings, plus=True)
        client = Client("right", b"p=tls-server-end-point,,", bound)
        assert isinstance(scram.start(client.first()), Lookup)
        answer = scram.respond(client.final(scram.provide(verifiers("right"))))
        assert isinstance(answer, Challenge) if right else answer == Refused(Reason.CHANNEL_BINDING)


@pytest.mark.parametrize(
    ("plus", "header"),
    [
        (True, b"n,,"),  # -PLUS without a binding
        (True, b"p=tls-exporter,,"),  # a type that we don't have
        (False, b"p=tls-server-end-point,,"),
        (False, b"y,,"),  # the client believes that we have no -PLUS: somebody took it out
    ],
)
def test_downgrades_are_refused(plus: bool, header: bytes) -> None:
    scram = Scram(Algorithm.SHA_256, {"tls-server-end-point": END_POINT}, plus=plus)
    assert scram.start(Client("x", header).first()) == Refused(Reason.CHANNEL_BINDING)


def test_a_client_with_channel_binding_where_there_is_none() -> None:
    assert isinstance(Scram(Algorithm.SHA_256, {}, plus=False).start(Client("x", b"y,,").first()), Lookup)


def test_names_and_who_acts_for_whom() -> None:
    def start(message: bytes) -> Step:
        return Scram(Algorithm.SHA_256, {}, plus=False).start(message)

    assert start(b"n,,n=a=2Cb=3Dc,r=x") == Lookup("a,b=c", "SCRAM-SHA-256")
    assert start(b"n,a=tim,n=tim,r=x") == Lookup("tim", "SCRAM-SHA-256")
    assert start(b"n,a=Tim,n=tim,r=x") == Lookup("tim", "SCRAM-SHA-256")
    assert start(b"n,a=bob,n=tim,r=x") == Refused(Reason.WRONG_AUTHZID)
    for wrong in (b"", b"n,,", b"n,,n=,r=x", b"n,,n=a=,r=x", b"n,,m=x,n=tim,r=x", b"n,,n=tim,r=", b"n,,n=\xff,r=x"):
        assert start(wrong) == Refused(Reason.MALFORMED)


def test_a_final_message_that_is_not_for_this_exchange() -> None:
    for change in ((b"r=clientnonce", b"r=othernonce"), (b"c=biws", b"c=eSws"), (b",p=", b",q="), (b",p=", b",p=!")):
        scram, client = Scram(Algorithm.SHA_256, {}, plus=False), Client("right")
        scram.start(client.first())
        final = client.final(scram.provide(verifiers("right"))).replace(*change)
        assert isinstance(scram.respond(final), Refused)


def test_stored_form() -> None:
    _, verifier = rfc7677()
    assert str(verifier) == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
        "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )
    assert parse_verifier(str(verifier)) == verifier
    for wrong in ("", "-", "$argon2id$v=19$x", "SCRAM-SHA-256$0:AA==$AA==:AA==", "SCRAM-SHA-512$1:AA==$AA==:AA=="):
        assert parse_verifier(wrong) is None


def test_saslprep_by_its_rfc() -> None:
    examples = {"I\u00adX": "IX", "user": "user", "USER": "USER", "\u00aa": "a", "\u2168": "IX", "a\u00a0b": "a b"}
    assert {text: saslprep(text) for text in examples} == examples
    for wrong in ("\u0007", "\u0627\u0031", "\u00ad", ""):
        with pytest.raises(ValueError):
            saslprep(wrong)
