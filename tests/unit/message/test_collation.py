"""The collation i;unicode-casemap (RFC 5051)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.message.collation import MAX_CACHED_RUNS, casemap


def test_case_and_accents():
    assert casemap("Grüße") == casemap("GRÜßE") == "GRU\u0308ßE".encode()
    assert casemap("\u01c6") == casemap("\u01c4") == "Dz\u030c".encode()
    assert casemap("ＡｂＣ ı ſ \u212a") == b"ABC I S K"
    assert casemap("привет") == casemap("ПРИВЕТ")
    assert casemap("ﬁ") == b"fi"  # mapped to title case before it is decomposed, not after
    assert casemap("plain") == b"PLAIN"
    assert casemap("\ud800x") == "\ud800X".encode("utf-8", "surrogatepass")


@given(st.text(), st.text(), st.text())
def test_a_part_stays_a_part(before, part, after):
    assert casemap(before) + casemap(part) + casemap(after) == casemap(before + part + after)


def test_what_is_remembered_is_bounded():
    for number in range(MAX_CACHED_RUNS + 10):
        assert casemap(chr(0x4E00 + number % 20_000) + chr(0x3400 + number // 20_000))
