r"""What the octets of a message look like if it may contain a text: one linear expression over whole stretches of mail.

`prefilter("Quarterdeck")` matches somewhere in every message of which `contains_text` says yes, and in few others,
so that only these few need be decoded. It looks for the longest word of the text

- in plain octets and quoted-printable, whose soft breaks and escapes may come between and for any letter;
- in base64, at each of three alignments, whatever line ends are between;
- across the edge of an encoded word (RFC 2047), where it can't tell: any edge with letters of the word counts;
- in any message with a charset in which ASCII letters may be written otherwise (UTF-16, ISO-2022-JP, …).

RE2 runs in time linear in the octets and without the interpreter's lock.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

import re2  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from shared.message.octets import Octets

MIN_WORD = 3
"""Letters; shorter words are in almost every message, at least in base64's eyes."""
MAX_WORD = 24
"""Letters that are looked for: enough to tell messages apart, and a bound for the expression."""
MAX_MEMORY = 2 * 1024 * 1024
"""Octets of one expression's automaton; it takes some 200 KB."""

# No octets but its own stand for an ASCII character in these.
PLAIN_CHARSETS = (
    *(b"utf-8", b"us-ascii", b"ascii", b"koi8-r", b"koi8-u", b"gb2312", b"gbk", b"gb18030", b"big5", b"euc-kr"),
    *(b"euc-jp", b"shift_jis", b"ks_c_5601-1987"),
    *(b"iso-8859-%d" % number for number in (*range(1, 12), *range(13, 17))),
    *(b"windows-125%d" % number for number in range(9)),
)
# A run of ASCII characters that no others become in lower case, as the Kelvin sign becomes k; a dotted capital I
# becomes i and a combining dot, so that i can't be the last one.
_WORD = re.compile(r"[!-jl-~]*[!-hjl-~]")
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BETWEEN_BASE64 = rb"[^A-Za-z0-9+/]*"
_SOFT_BREAKS = rb"(?:=\n|=\r[^\n]*\n)*"
# A comment can come between the letters of a parameter's name.
_COMMENTED = rb"(?i:content-type)[ \t]*:(?:[^\n(]|\n[ \t])*\("

_Trie: TypeAlias = "dict[int, _Trie]"
_END = -1  # among a node's octets: a name may end here


class Match(Protocol):
    """As much of a match as is used."""

    def start(self) -> int:
        """Return where it begins."""


class Prefilter(Protocol):
    """A compiled expression; for one that matches nowhere the message doesn't contain the text."""

    def search(self, data: Octets, start: int = 0, end: int | None = None) -> Match | None:
        """Return the first match in data[start:end]."""


@lru_cache(maxsize=64)
def prefilter(text: str) -> Prefilter | None:
    """Return what is in every message that contains a text in any case, None if there is nothing of use."""
    word = _longest_word(text.lower())
    if len(word) < MIN_WORD:
        return None
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = MAX_MEMORY
    return cast("Prefilter", re2.compile(_expression(word.encode()), options))


def _longest_word(text: str) -> str:
    return max(_WORD.findall(text), key=len, default="")[:MAX_WORD]


def _expression(word: bytes) -> bytes:
    cases = [_cases(letter) for letter in word]
    letters = _one_of(octet for octets in cases for octet in octets)
    ways = [_SOFT_BREAKS.join(map(_quoted_printable, cases))]
    ways += [_base64(cases, alignment) for alignment in range(3)]
    ways += [letters + rb"=\?[^=]", rb"\?=" + letters, rb"\?=[ \t\r\n]*=\?"]
    return b"|".join((*ways, _other_charsets(), _COMMENTED))


def _cases(letter: int) -> bytes:
    small = bytes((letter,))
    return bytes({*small, *small.upper()})


def _quoted_printable(cases: bytes) -> bytes:
    """A letter as it is or escaped; a broken encoder's == means =, as a2b_qp has it."""
    ways = [_one_of(cases), *(b"=(?i:%02x)" % octet for octet in cases)]
    return b"(?:" + b"|".join([*ways, b"=="] if b"=" in cases else ways) + b")"


def _base64(cases: Sequence[bytes], alignment: int) -> bytes:
    """The letters in base64 when this many octets of the first group of three come before."""
    anything = bytes(range(256))
    octets = [anything] * alignment + list(cases)
    octets += [anything] * (-len(octets) % 3)
    digits = [digit for at in range(0, len(octets), 3) for digit in _base64_group(*octets[at : at + 3])]
    known = [at for at, digit in enumerate(digits) if len(digit) < len(_ALPHABET)]
    return _BETWEEN_BASE64.join(_one_of(digit) for digit in digits[known[0] : known[-1] + 1])


def _base64_group(first: bytes, second: bytes, third: bytes) -> Iterable[set[int]]:
    """The four digits that three octets may have, each digit by itself."""
    yield {_ALPHABET[a >> 2] for a in first}
    yield {_ALPHABET[a | b] for a, b in product({(a & 3) << 4 for a in first}, {b >> 4 for b in second})}
    yield {_ALPHABET[b | c] for b, c in product({(b & 15) << 2 for b in second}, {c >> 6 for c in third})}
    yield {_ALPHABET[c & 63] for c in third}


def _one_of(octets: Iterable[int]) -> bytes:
    return b"[" + b"".join([b"\\x%02x" % octet for octet in sorted(set(octets))]) + b"]"


@lru_cache(maxsize=1)
def _other_charsets() -> bytes:
    """A charset's name that isn't one of PLAIN_CHARSETS, in a Content-Type or an encoded word.

    Bodies of HTML name theirs too, perhaps in quoted-printable; base64 in an encoded word may end in ==?=.
    """
    named = rb"(?i:charset)(?:[^=]|=(?:3[dD])?\"?" + _other_than(PLAIN_CHARSETS, b"; \t\r\n\"'>", besides=b'"3') + b")"
    encoded = rb"=\?(?:=[^ \t\r\n\")]|=[\")][^ \t\r\n]|" + _other_than(PLAIN_CHARSETS, b"?*", besides=b"=") + b")"
    return named + b"|" + encoded


def _other_than(names: Collection[bytes], ends: bytes, besides: bytes) -> bytes:
    """An expression for octets that begin with none of these names in any case and an end, or with `besides`."""
    root: _Trie = {}
    for name in names:
        node = root
        for octet in name:
            node = node.setdefault(octet, {})
        node[_END] = {}
    return _outside(root, ends, besides)


def _outside(node: _Trie, ends: bytes, besides: bytes = b"") -> bytes:
    following = {octet: rest for octet, rest in node.items() if octet != _END}
    inside = besides + (ends if _END in node else b"")
    inside += b"".join(_cases(octet) for octet in following)
    ways = [b"[^" + _one_of(inside)[1:]]
    ways += [_one_of(_cases(octet)) + _outside(rest, ends) for octet, rest in following.items()]
    return b"(?:" + b"|".join(ways) + b")"
