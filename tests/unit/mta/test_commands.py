"""MAIL, RCPT and BDAT command lines."""

from __future__ import annotations

import pytest

from services.mta.commands import Bdat, By, Mail, Rcpt, parse_bdat, parse_mail, parse_rcpt
from shared.address import Address
from shared.errors import PermanentFailure

X = Address("x", "b.test")


def code_of(call: object, *args: object, **kwargs: object) -> str:
    """The code and status of a refusal."""
    with pytest.raises(PermanentFailure) as caught:
        call(*args, **kwargs)  # type: ignore[operator]
    return f"{caught.value.code} {caught.value.status}"


@pytest.mark.parametrize(
    ("text", "mail"),
    [
        ("FROM:<x@b.test>", Mail(X)),
        ("from: <x@b.test>", Mail(X)),
        ("FROM:<>", Mail(None)),
        ("FROM:<> SIZE=0", Mail(None)),
        ("FROM:<X@B.Test> size=12345", Mail(Address("X", "b.test"), size=12345)),
        ("FROM:<x@b.test> BODY=8bitmime", Mail(X, eight_bit=True)),
        ("FROM:<x@b.test> BODY=7BIT", Mail(X)),
        ("FROM:<x@b.test> RET=hdrs ENVID=QQ+2Babc", Mail(X, ret="HDRS", envid="QQ+2Babc")),
        ("FROM:<x@b.test> BY=120;R", Mail(X, by=By(120, "R", False))),
        ("FROM:<x@b.test> BY=-5;nt", Mail(X, by=By(-5, "N", True))),
        ("FROM:<x@b.test> AUTH=<>", Mail(X)),
        ("FROM:<x@b.test> AUTH=e+3Dmc2@example.com", Mail(X)),
        ("FROM:<@r1.test,@r2.test:x@b.test>", Mail(X)),
        ('FROM:<"a b>c"@b.test>', Mail(Address("a b>c", "b.test"))),
        (r'FROM:<"a\"\\b"@b.test>', Mail(Address(r"a\"\b".replace(r"\"", '"'), "b.test"))),
        ("FROM:<x@[192.0.2.1]>", Mail(Address("x", "[192.0.2.1]"))),
        ("FROM:<jörg@bücher.test> SMTPUTF8", Mail(Address("jörg", "xn--bcher-kva.test"), smtputf8=True)),
        ("FROM:<x@b.test> SMTPUTF8  BODY=8BITMIME", Mail(X, eight_bit=True, smtputf8=True)),
    ],
)
def test_mail(text: str, mail: Mail) -> None:
    assert parse_mail(text) == mail


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "501 5.5.4"),
        ("FROM", "501 5.5.4"),
        ("FROM:", "501 5.5.4"),
        ("FROM:x@b.test", "501 5.5.4"),
        ("FROM:<x@b.test", "501 5.5.4"),
        ("FROM:<x@b.test>SIZE=1", "501 5.5.4"),
        ("TO:<x@b.test>", "501 5.5.4"),
        ("FROM:<x>", "553 5.1.3"),
        ("FROM:<@b.test>", "553 5.1.3"),
        ("FROM:<x@b..test>", "553 5.1.3"),
        ("FROM:<x.@b.test>", "553 5.1.3"),
        ("FROM:<" + "x" * 65 + "@b.test>", "553 5.1.3"),
        ("FROM:<x@" + "b." * 130 + "test>", "553 5.1.3"),
        ("FROM:<jörg@b.test>", "553 5.6.7"),
        ("FROM:<x@bücher.test>", "553 5.6.7"),
        ("FROM:<\udcff@b.test> SMTPUTF8", "553 5.1.3"),
        ("FROM:<x@b.test> HOLDFOR=10", "555 5.5.4"),
        ("FROM:<x@b.test> NOTIFY=NEVER", "555 5.5.4"),
        ("FROM:<x@b.test> SIZE", "501 5.5.4"),
        ("FROM:<x@b.test> SIZE=-1", "501 5.5.4"),
        ("FROM:<x@b.test> SIZE=" + "1" * 21, "501 5.5.4"),
        ("FROM:<x@b.test> SIZE=1 SIZE=1", "501 5.5.4"),
        ("FROM:<x@b.test> SMTPUTF8=1", "501 5.5.4"),
        ("FROM:<x@b.test> BODY=BINARYMIME", "501 5.5.4"),
        ("FROM:<x@b.test> RET=ALL", "501 5.5.4"),
        ("FROM:<x@b.test> BY=0;R", "501 5.5.4"),
        ("FROM:<x@b.test> BY=5", "501 5.5.4"),
        ("FROM:<x@b.test> BY=5;X", "501 5.5.4"),
        ("FROM:<x@b.test> BY=1234567890;N", "501 5.5.4"),
        ("FROM:<x@b.test> ENVID=a+b", "501 5.5.4"),
        ("FROM:<x@b.test> ENVID=" + "a" * 101, "501 5.5.4"),
        ("FROM:<x@b.test> AUTH=", "501 5.5.4"),
        ("FROM:<x@b.test> =", "501 5.5.4"),
        ("FROM:<x@b.test>" + " A=1" * 21, "501 5.5.4"),
    ],
)
def test_bad_mail(text: str, code: str) -> None:
    assert code_of(parse_mail, text) == code


def test_parameters_need_ehlo() -> None:
    assert code_of(parse_mail, "FROM:<x@b.test> SIZE=1", extended=False) == "501 5.5.4"
    assert parse_mail("FROM:<x@b.test>", extended=False) == Mail(X)


@pytest.mark.parametrize(
    ("text", "rcpt"),
    [
        ("TO:<x@b.test>", Rcpt(X)),
        ("TO:<PostMaster>", Rcpt(None)),
        ("TO:<x@b.test> NOTIFY=success,Failure", Rcpt(X, notify="SUCCESS,FAILURE")),
        ("TO:<x@b.test> ORCPT=rfc822;Bob+40Example.COM NOTIFY=NEVER", Rcpt(X, "rfc822;Bob+40Example.COM", "NEVER")),
    ],
)
def test_rcpt(text: str, rcpt: Rcpt) -> None:
    assert parse_rcpt(text) == rcpt


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("TO:<>", "553 5.1.3"),
        ("FROM:<x@b.test>", "501 5.5.4"),
        ("TO:<x@b.test> NOTIFY=NEVER,FAILURE", "501 5.5.4"),
        ("TO:<x@b.test> NOTIFY=", "501 5.5.4"),
        ("TO:<x@b.test> NOTIFY=OFTEN", "501 5.5.4"),
        ("TO:<x@b.test> ORCPT=bob", "501 5.5.4"),
        ("TO:<x@b.test> ORCPT=rfc822;a+b", "501 5.5.4"),
        ("TO:<x@b.test> ORCPT=rfc822;" + "a" * 500, "501 5.5.4"),
        ("TO:<x@b.test> ORCPT=utf-8;jörg@b.test", "501 5.5.4"),
        ("TO:<x@b.test> SIZE=1", "555 5.5.4"),
    ],
)
def test_bad_rcpt(text: str, code: str) -> None:
    assert code_of(parse_rcpt, text) == code


def test_utf8_recipients() -> None:
    rcpt = parse_rcpt("TO:<jörg@b.test> ORCPT=utf-8;jörg@b.test", smtputf8=True)
    assert rcpt == Rcpt(Address("jörg", "b.test"), "utf-8;jörg@b.test")
    assert code_of(parse_rcpt, "TO:<x@b.test> ORCPT=utf-8;\udcff", smtputf8=True) == "501 5.5.4"


def test_bdat() -> None:
    assert parse_bdat("0") == Bdat(0, False)
    assert parse_bdat("86  last") == Bdat(86, True)
    for bad in ("", "x", "-1", "1 FIRST", "1" * 21, "1 LAST LAST", "\u0661"):
        assert code_of(parse_bdat, bad) == "501 5.5.4"
