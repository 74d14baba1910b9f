r"""What the octets of a message look like if it may contain a text: one linear expression over whole stretches of mail.

`prefilter("Quarterdeck")` matches somewhere in every message of which `contains_text` says yes, and in few others,
so that only these few need be decoded. It looks for the longest word of the text

- in plain octets and quoted-printable, whose soft breaks and escapes may come between and for any letter;
- in base64, at each of three alignments, whatever line ends are between;
- across the edge of an encoded word (RFC 2047), where it can't tell: any edge with letters of the word counts;
- in any message with a charset in which its characters may be written otherwise (UTF-16, ISO-2022-JP, …).

To the collation (RFC 5051) some characters are others: an accented letter begins like the one without, so that
the word's last letter may be any octet above ASCII; a full-width, circled or old long letter is the plain one, and
such a character anywhere counts.

RE2 runs in time linear in the octets and without the interpreter's lock.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

import re2  # type: ignore[import-untyped]

from shared.message.charset import codec_for
from shared.message.collation import map_character

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from shared.message.octets import Octets

MIN_WORD = 3
"""Letters; shorter words are in almost every message, at least in base64's eyes."""
MAX_WORD = 24
"""Letters that are looked for: enough to tell messages apart, and a bound for the expression."""
MAX_MEMORY = 6 * 1024 * 1024
"""Octets of one expression's automaton; with too few it is thrown away and made again all the time."""

# No octets but its own stand for an ASCII character in these, but for those of `_otherwise`.
PLAIN_CHARSETS = (
    *(b"utf-8", b"us-ascii", b"ascii", b"koi8-r", b"koi8-u"),
    *(b"iso-8859-%d" % number for number in (*range(1, 12), *range(13, 17))),
    *(b"windows-125%d" % number for number in range(9)),
)
# A run of ASCII characters; the dot is left out since the ellipsis is three of them.
_WORD = re.compile(r"[!-\-/-~]+")
_DIGITS = re.compile(r"[0-9]")
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_HIGH = bytes(range(0x80, 0x100))
_BETWEEN_BASE64 = rb"[^A-Za-z0-9+/]*"
_LINE_ENDS = rb"(?:[ \t]*\r?\n[ \t]*)*"  # between the few digits of a single character, which are in any text
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


@lru_cache(maxsize=16)
def prefilter(text: str) -> Prefilter | None:
    """Return what is in every message that contains a text in any case, None if there is nothing of use."""
    word = _longest_word(text)
    if len(word) < MIN_WORD:
        return None
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = MAX_MEMORY
    return cast("Prefilter", re2.compile(_expression(word.encode()), options))


def _longest_word(text: str) -> str:
    """Return the word to look for: digits count little, for they are what circles, fractions and squares hold."""
    runs = _WORD.findall(text)
    best = max(runs, key=lambda run: (len(_DIGITS.sub("", run[:MAX_WORD])), len(run)), default="")
    return str(best)[:MAX_WORD]


def _expression(word: bytes) -> bytes:
    cases = [_cases(letter) for letter in word]
    letters = _one_of(octet for octets in cases for octet in octets)
    cases[-1] += _HIGH
    ways = [_SOFT_BREAKS.join(map(_quoted_printable, cases))]
    ways += [_base64(cases, alignment) for alignment in range(3)]
    ways += [letters + rb"=\?[^=]", rb"\?=" + letters, rb"\?=[ \t\r\n]*=\?"]
    others = _others(word)
    for octets in _utf8_groups(others):
        ways.append(_SOFT_BREAKS.join(map(_quoted_printable, octets)))
        ways += [_base64(octets, alignment, _LINE_ENDS) for alignment in range(3)]
    ways += _in_unlabelled(others)
    ways += [_other_charsets(tuple(name for name in PLAIN_CHARSETS if not _others_in(name, others))), _COMMENTED]
    return b"|".join(ways)


# Characters that are ASCII ones to the collation


@lru_cache(maxsize=1)
def _table() -> dict[str, frozenset[str]]:
    """What other characters hold which ASCII character, apart from those that only begin with it, as é does with e."""
    table: defaultdict[str, set[str]] = defaultdict(set)
    for code in (*range(0x80, 0xAC00), *range(0xF900, _LAST_OTHER)):
        character = chr(code)
        mapped = map_character(character)
        if len(mapped) > 1 and not mapped[1].isascii():
            mapped = mapped[1:]
        if mapped != character:
            for part in filter(str.isascii, mapped):
                table[part].add(character)
    return {part: frozenset(characters) for part, characters in table.items()}


_LAST_OTHER = 0x20000  # beyond it there are ideographs


def _others(word: bytes) -> frozenset[str]:
    table = _table()
    return frozenset(other for letter in word.decode().upper() for other in table.get(letter, ()))


@lru_cache(maxsize=64)
def _others_in(charset: bytes, others: frozenset[str]) -> bytes:
    """The octets of a charset that stand for such characters; UTF-8 has groups of them."""
    codec = codec_for(charset.decode())
    if codec is None or codec == "utf_8":
        return b""
    octets = [bytes((octet,)) for octet in range(0x80, 0x100)]
    return b"".join([octet for octet in octets if octet.decode(codec, "replace") in others])


def _utf8_groups(others: Iterable[str]) -> Iterable[list[bytes]]:
    """The characters in UTF-8, as what each octet may be; those of rare blocks together."""
    groups: defaultdict[bytes, list[set[int]]] = defaultdict(lambda: [set() for _ in range(4)])
    for other in others:
        octets = other.encode()
        group = groups[octets[:1] if octets[0] in _RARE_BLOCKS else octets[:-1]]
        for at, octet in enumerate(octets):
            group[at].add(octet)
    for group in groups.values():
        yield [bytes(sorted(octets)) for octets in group if octets]


_RARE_BLOCKS = b"\xc4\xc5\xc7\xe1\xe3\xea\xf0"


def _in_unlabelled(others: frozenset[str]) -> list[bytes]:
    """Such octets after a character of ASCII, where none that continues UTF-8 can be."""
    octets = _others_in(b"windows-1252", others)
    if not octets:
        return []
    return [rb"[\t\r\n -~]" + _one_of(octets), rb"(?:[^=]..|=[^89A-Fa-f].)" + _escaped(octets)]


def _cases(letter: int) -> bytes:
    octet = bytes((letter,))
    return bytes({*octet.lower(), *octet.upper()})


def _quoted_printable(cases: bytes) -> bytes:
    """A letter as it is or escaped; a broken encoder's == means =, as a2b_qp has it."""
    ways = [_one_of(cases), _escaped(cases)]
    return b"(?:" + b"|".join([*ways, b"=="] if b"=" in cases else ways) + b")"


def _escaped(octets: bytes) -> bytes:
    """One of these octets in quoted-printable."""
    lows: defaultdict[int, list[int]] = defaultdict(list)
    for octet in octets:
        lows[octet >> 4].append(octet & 15)
    ways = [b"%x[%b]" % (high, b"".join([b"%x" % low for low in low_digits])) for high, low_digits in lows.items()]
    return b"=(?i:" + b"|".join(ways) + b")"


def _base64(cases: Sequence[bytes], alignment: int, between: bytes = _BETWEEN_BASE64) -> bytes:
    """The letters in base64 when this many octets of the first group of three come before."""
    anything = bytes(range(256))
    octets = [anything] * alignment + list(cases)
    octets += [anything] * (-len(octets) % 3)
    digits = [digit for at in range(0, len(octets), 3) for digit in _base64_group(*octets[at : at + 3])]
    known = [at for at, digit in enumerate(digits) if len(digit) < len(_ALPHABET)]
    return between.join(_one_of(digit) for digit in digits[known[0] : known[-1] + 1])


def _base64_group(first: bytes, second: bytes, third: bytes) -> Iterable[set[int]]:
    """The four digits that three octets may have, each digit by itself."""
    yield {_ALPHABET[a >> 2] for a in first}
    yield {_ALPHABET[a | b] for a, b in product({(a & 3) << 4 for a in first}, {b >> 4 for b in second})}
    yield {_ALPHABET[b | c] for b, c in product({(b & 15) << 2 for b in second}, {c >> 6 for c in third})}
    yield {_ALPHABET[c & 63] for c in third}


def _one_of(octets: Iterable[int]) -> bytes:
    return b"[" + b"".join([b"\\x%02x" % octet for octet in sorted(set(octets))]) + b"]"


@lru_cache(maxsize=64)
def _other_charsets(plain: tuple[bytes, ...]) -> bytes:
    """A charset's name that isn't a plain one, in a Content-Type or an encoded word.

    Bodies of HTML name theirs too, perhaps in quoted-printable; base64 in an encoded word may end in ==?=.
    """
    named = rb"(?i:charset)(?:[^=]|=(?:3[dD])?\"?" + _other_than(plain, b"; \t\r\n\"'>", besides=b'"3') + b")"
    encoded = rb"=\?(?:=[^ \t\r\n\")]|=[\")][^ \t\r\n]|" + _other_than(plain, b"?*", besides=b"=") + b")"
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
