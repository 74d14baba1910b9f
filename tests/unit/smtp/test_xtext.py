"""xtext: there and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.smtp.xtext import XtextError, decode_xtext, encode_xtext, is_xtext


def test_examples() -> None:
    assert encode_xtext("a+b=c d") == "a+2Bb+3Dc+20d"
    assert decode_xtext("a+2Bb+3Dc+20d") == "a+b=c d"


@pytest.mark.parametrize("text", ["a b", "a+2", "a+2b", "é", "a=b", "a\r\nRCPT TO:<x>"])
def test_not_xtext(text: str) -> None:
    with pytest.raises(XtextError):
        decode_xtext(text)


@given(st.text(st.characters(blacklist_categories=["Cs"])))
def test_there_and_back(text: str) -> None:
    encoded = encode_xtext(text)
    assert is_xtext(encoded)
    assert decode_xtext(encoded) == text
