"""Asks two IMAP servers the same searches, sorts and threads on the same mail, and tells where they answer differently.

python -m tests.tools.search_peer PORT-OF-OURS PORT-OF-THE-OTHER USER PASSWORD     (both: an account of that name)
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from tests.tools.fidelity import Server
from tests.tools.odd_messages import corpus

THREADS = 250  # generated messages that answer each other
SEED = 5256
_SUBJECTS = (
    "plans",
    "Re: plans",
    "RE: [list] plans",
    "Fwd: plans (fwd)",
    "[Fwd: plans]",
    "budget",
    "re: budget",
    "Ärger",
    "re: ärger",
    "[x] [y]",
    "(fwd)",
    "Re: ",
    "budget (FWD)",
    "Re[2]: budget",
    "fw: plans",
    "",
)
_NAMES = ("Zoe <zoe@a.test>", "zoe <ada@a.test>", "Émile <emile@a.test>", "emil@a.test", '"B, A" <b@a.test>',
          "=?utf-8?q?=C3=89mile?= <e@a.test>", "undisclosed:;", "team: a@a.test;", "")  # fmt: skip

_SORTS = ("ARRIVAL", "CC", "DATE", "FROM", "SIZE", "SUBJECT", "TO", "DISPLAYFROM", "DISPLAYTO", "REVERSE DATE",
          "SUBJECT REVERSE DATE", "REVERSE FROM SUBJECT", "REVERSE SUBJECT")  # fmt: skip
_SEARCHES = ("TEXT gray", "BODY the", "SUBJECT re", 'HEADER Message-ID ""', "FROM test", "TO gray", "CC a.test",
             "BCC a", "SENTBEFORE 1-Jan-2000", "SENTSINCE 1-Jan-2026", "SENTON 7-Feb-1994", "LARGER 400", "SMALLER 300",
             "OR FROM ada SUBJECT plans", "NOT (SUBJECT plans)", "KEYWORD x", "HEADER References \"<\"", "TEXT ärger",
             "TEXT ÄRGER", "SUBJECT Ärger", "FROM émile", "FROM emile", "TEXT \"a.test\"", "BODY \"inside\"",
             "HEADER Content-Type multipart", "UNSEEN 2:20", "UID 5:10,30:*", "BODY gr")  # fmt: skip

_LETTERS = 'HEADER X-Letter ""'  # of the odd ones the servers understand dates and addresses differently


@dataclass(frozen=True, slots=True)
class Difference:
    """A question, and both answers."""

    question: str
    ours: list[bytes]
    theirs: list[bytes]

    def __str__(self) -> str:
        ours, theirs = (b" ".join(answer).decode("latin-1") for answer in (self.ours, self.theirs))
        same = next((at for at, pair in enumerate(zip(ours, theirs, strict=False)) if len(set(pair)) > 1), 0)
        at = max(same - 40, 0)
        return f"{self.question}\n    ours:   …{ours[at : at + 160]}\n    theirs: …{theirs[at : at + 160]}"


def mail() -> Iterator[bytes]:
    """Yield odd messages, and letters that answer each other in every way."""
    for _, message in corpus():
        yield message
    rng = random.Random(SEED)
    for number in range(THREADS):
        yield _letter(rng, number).encode()


def differences(ours: Server, theirs: Server) -> Iterator[Difference]:
    """Yield the questions that are answered differently."""
    for question in questions():
        answers = [_answer(server, question) for server in (ours, theirs)]
        if answers[0] != answers[1]:
            yield Difference(question, *answers)


def questions() -> Iterator[str]:
    """Yield commands."""
    for key in _SEARCHES:
        yield f"SEARCH CHARSET UTF-8 {key}"
        yield f"UID SEARCH RETURN (MIN MAX COUNT) CHARSET UTF-8 {key}"
    for criteria in _SORTS:
        yield f"SORT ({criteria}) UTF-8 {_LETTERS}"
    for algorithm in ("ORDEREDSUBJECT", "REFERENCES"):
        yield f"THREAD {algorithm} UTF-8 {_LETTERS}"
        yield f"UID THREAD {algorithm} UTF-8 SUBJECT budget {_LETTERS}"


def _answer(server: Server, question: str) -> list[bytes]:
    untagged, status = server.client.command(_with_literals(question))
    if not status.startswith(b"OK"):
        return [status]
    lines = [line for line in untagged if line.split(b" ")[1] in (b"SEARCH", b"ESEARCH", b"SORT", b"THREAD")]
    return [line.partition(b")")[2] if b" ESEARCH " in line else line.rstrip() for line in lines]


def _with_literals(question: str) -> bytes:
    """Words of other letters than ASCII as literals that aren't waited for."""
    words = [word if word.isascii() else f"{{{len(word.encode())}+}}\r\n{word}" for word in question.split(" ")]
    return " ".join(words).encode()


def _letter(rng: random.Random, number: int) -> str:
    def message_id(of: int) -> str:
        return f"<{of}@peer.test>"

    head = [
        "X-Letter: yes",
        f"Subject: {rng.choice(_SUBJECTS)}",
        f"From: {rng.choice(_NAMES)}",
        f"To: {rng.choice(_NAMES)}",
    ]
    if rng.random() < 0.9:
        head.append(f"Message-ID: {message_id(rng.choice((number, number, number, number // 2)))}")
    if rng.random() < 0.9:
        head.append(f"Date: {rng.randint(1, 28)} Feb 2026 {rng.randint(0, 23):02}:00:00 +0{rng.randint(0, 9)}00")
    others = [message_id(rng.randint(0, THREADS + 20)) for _ in range(rng.choice((0, 0, 1, 1, 2, 4)))]
    if others:
        field = rng.choice(("References", "References", "In-Reply-To"))
        head.append(f"{field}: {' '.join(others)}")
    return "".join(f"{line}\r\n" for line in (*head, "", f"number {number}", "x" * rng.randint(0, 500)))


def main() -> int:
    """Compare, print, and return how many differences there are."""
    user, password = sys.argv[3:5]
    servers = [Server(int(port), user, password, f"search-{SEED}") for port in sys.argv[1:3]]
    messages = list(mail())
    for server in servers:
        server.fill(messages)
    found = list(differences(*servers))
    for difference in found:
        print(difference)
    print(f"{len(messages)} messages, {len(list(questions()))} questions, {len(found)} differences")
    return len(found)


if __name__ == "__main__":
    sys.exit(main())
