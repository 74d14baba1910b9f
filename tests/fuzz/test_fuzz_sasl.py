"""SASL exchanges on mutated responses: credentials, a challenge or a refusal, whatever comes."""

from __future__ import annotations

import random
from base64 import b64encode

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.sasl.credentials import MAX_IDENTITY, MAX_PASSWORD, Credentials
from shared.sasl.exchange import MAX_STEPS, Exchange
from shared.sasl.mechanism import Challenge, Lookup, Proven, Refused, Step
from shared.sasl.mechanisms import MAKERS
from shared.sasl.scram import Algorithm, make_verifier
from tests.fuzz.mutation import mutate

ROUNDS = 5000
SEEDS = [
    b64encode(b"\0tim\0tanstaaftanstaaf"),
    b64encode(b"tim\0tim\0x"),
    b64encode("\0gr\u00fcn@example.org\0p\u00e4ss".encode()),
    b64encode(b"tim"),
    b64encode(b"n,,n=tim,r=fyko+d2lbbFgONRv9qkxdawL"),
    b64encode(b"p=tls-server-end-point,a=tim,n=tim,r=x"),
    b64encode(b"c=biws,r=fyko+d2lbbFgONRv9qkxdawLabc,p=dHVwbGU="),
    b"=",
    b"*",
    b"",
]
TOKENS = [b"=", b"*", b"AAAA", b"\0", b"\xff", b" ", b"A" * 13_000]
VERIFIERS = [
    (number, make_verifier(one, "tanstaaftanstaaf", b"salt" * 4, 4096)) for number, one in enumerate(Algorithm)
]


def provided(exchange: Exchange, step: Step) -> Step:
    if isinstance(step, Lookup):
        assert 0 < len(step.identity.encode()) <= MAX_IDENTITY
        return exchange.provide(VERIFIERS)
    return step


def drive(name: bytes, initial: bytes | None, lines: list[bytes]) -> None:
    exchange = Exchange(MAKERS, {"tls-server-end-point": b"x" * 32})
    step = provided(exchange, exchange.begin(name, initial))
    for line in lines[: MAX_STEPS + 1]:
        if not isinstance(step, Challenge):
            break
        step = provided(exchange, exchange.receive(line))
    match step:
        case Credentials(identity, password):
            assert 0 < len(identity.encode()) <= MAX_IDENTITY
            assert 0 < len(password.encode()) <= MAX_PASSWORD
            assert "\0" not in identity + password
        case _:
            assert isinstance(step, Challenge | Refused | Proven)


def test_mutated_responses() -> None:
    dice = random.Random("sasl")
    for _ in range(ROUNDS):
        initial = None if dice.random() < 0.5 else mutate(dice.choice(SEEDS), dice, TOKENS, SEEDS)
        lines = [mutate(dice.choice(SEEDS), dice, TOKENS, SEEDS) for _ in range(3)]
        drive(dice.choice(list(MAKERS)), initial, lines)


octets = st.binary(max_size=60)


@settings(max_examples=300)
@given(st.sampled_from(list(MAKERS)), st.none() | st.binary(max_size=60), st.lists(st.binary(max_size=60), max_size=4))
def test_any_responses(name: bytes, initial: bytes | None, lines: list[bytes]) -> None:
    drive(name, initial, lines)
    drive(name, initial, [b64encode(line) for line in lines])
