"""The mail that end-to-end and IMAP rows use: 60% plain, 25% quoted-printable, 15% base64.

A third of the messages are multipart, those encoded are UTF-8 with non-ASCII letters in body and
subject. Every message's bytes differ; the same seed makes the same mail. SEARCH_WORD is in every tenth
message (inside longer words too, encoded parts included), ABSENT_WORD in none.
"""

from __future__ import annotations

import base64
import quopri
import random
from collections.abc import Iterator
from dataclasses import dataclass

SEARCH_WORD = "quarterdeck"
SEARCH_EVERY = 10
ABSENT_WORD = "xylophagous"
ID_FIELD = "X-Bench-Id"

_PARAGRAPHS = 400
_ASCII = (
    "the packet boat left harbour before dawn with letters for every port along the coast and the "
    "captain wrote down each bag in the ledger so that none would be missing when the wind turned "
    "between islands where merchants waited weeks to hear what had become of their cargo prices news "
    "invoice meeting tomorrow attached please find regards schedule review project budget question"
)
_OTHER = (
    "größer übermäßig café naïve señor façade Ærø Łódź smörgåsbord пакетбот письмо капитан гавань "
    "почта остров 手紙 船長 港 郵便 θάλασσα επιστολή λιμάνι çok teşekkürler déjà élève garçon"
)


@dataclass(frozen=True, slots=True)
class Mail:
    """One message in wire form: CRLF line ends, no line begins with a dot."""

    id: str
    data: bytes
    has_word: bool


def corpus(count: int, size: int, *, run: str = "bench", seed: int = 1) -> Iterator[Mail]:
    """`count` messages of about `size` octets, one at a time."""
    rng = random.Random(seed)
    plain = _paragraphs(rng, _ASCII.split())
    other = _paragraphs(rng, _ASCII.split() + _OTHER.split() * 2)
    for number in range(count):
        yield _mail(rng, f"{run}-{number:06d}", number, size, plain, other)


def plain_mail(count: int, size: int, *, run: str) -> Iterator[Mail]:
    """`count` plain messages of exactly as many octets of body, whose bytes all differ."""
    line = b"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ\r\n"
    filler = (line * (size // len(line) + 1))[:size]
    for number in range(count):
        mail_id = f"{run}-{number:06d}"
        unique = (mail_id.encode() + b"\r\n").rjust(32, b"=")
        yield Mail(
            mail_id, _head(mail_id, b"plain " + mail_id.encode()) + b"\r\n" + unique + filler[32:-2] + b"\r\n", False
        )


def _mail(rng: random.Random, mail_id: str, number: int, size: int, plain: list[str], other: list[str]) -> Mail:
    kind = rng.random()
    encoding = "7bit" if kind < 0.60 else "quoted-printable" if kind < 0.85 else "base64"
    has_word = number % SEARCH_EVERY == 0
    room = {"7bit": 1.0, "quoted-printable": 0.66, "base64": 0.62}[encoding]
    text = _text(rng, plain if encoding == "7bit" else other, int((size - 900) * room), has_word)
    subject = _subject(rng, encoding, mail_id)
    head = _head(mail_id, subject)
    if rng.random() < 1 / 3:
        body = _multipart(mail_id, text, encoding)
    else:
        body = _part(b"text/plain", text, encoding)
    return Mail(mail_id, head + b"MIME-Version: 1.0\r\n" + body, has_word)


def _head(mail_id: str, subject: bytes) -> bytes:
    name = mail_id.encode()
    return (
        b"From: Sender <sender@elsewhere.test>\r\nTo: Reader <reader@bench.test>\r\nSubject: " + subject
        + b"\r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\nMessage-ID: <" + name + b"@elsewhere.test>\r\n"
        + ID_FIELD.encode() + b": " + name + b"\r\n"
    )  # fmt: skip


def _subject(rng: random.Random, encoding: str, mail_id: str) -> bytes:
    words = " ".join(rng.choices(_ASCII.split(), k=4))
    if encoding == "7bit":
        return f"{words} {mail_id}".encode()
    encoded = base64.b64encode(f"{rng.choice(_OTHER.split())} {words[:20]}".encode())
    return b"=?utf-8?B?" + encoded + b"?= " + mail_id.encode()


def _text(rng: random.Random, paragraphs: list[str], size: int, has_word: bool) -> str:
    chosen: list[str] = []
    length = 0
    while length < size:
        chosen.append(rng.choice(paragraphs))
        length += len(chosen[-1].encode())
    if has_word:
        chosen.insert(len(chosen) // 2, f"on the {rng.choice(['', 'fore', 'mid'])}{SEARCH_WORD}s again\n")
    return "\n".join(chosen)


def _multipart(mail_id: str, text: str, encoding: str) -> bytes:
    boundary = b"=-" + mail_id.encode()
    half = len(text) // 2
    cut = text.find("\n", half) + 1 or half
    html = "<html><body><p>" + text[cut:].replace("\n", "</p>\n<p>") + "</p></body></html>\n"
    return (
        b'Content-Type: multipart/alternative; boundary="' + boundary + b'"\r\n\r\n--' + boundary + b"\r\n"
        + _part(b"text/plain", text[:cut], encoding) + b"\r\n--" + boundary + b"\r\n"
        + _part(b"text/html", html, encoding) + b"\r\n--" + boundary + b"--\r\n"
    )  # fmt: skip


def _part(kind: bytes, text: str, encoding: str) -> bytes:
    octets = text.encode()
    if encoding == "base64":
        body = base64.encodebytes(octets)
    elif encoding == "quoted-printable":
        body = quopri.encodestring(octets)
    else:
        body = octets
    head = b"Content-Type: " + kind + b"; charset=utf-8\r\nContent-Transfer-Encoding: " + encoding.encode()
    return head + b"\r\n\r\n" + body.replace(b"\n", b"\r\n").replace(b"\r\n.", b"\r\n=2E")


def _paragraphs(rng: random.Random, words: list[str]) -> list[str]:
    """Paragraphs of some 60 words in lines of at most 12."""
    made = []
    for _ in range(_PARAGRAPHS):
        chosen = rng.choices(words, k=60)
        made.append("\n".join(" ".join(chosen[start : start + 12]) for start in range(0, 60, 12)) + "\n")
    return made
