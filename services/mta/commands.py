"""MAIL, RCPT and BDAT read from their command lines (RFC 5321 §4.1.1, 1870, 2852, 3030, 3461, 4954, 6152, 6531).

    "MAIL FROM:" Reverse-path [SP Mail-parameters]
    "RCPT TO:" ( "<Postmaster@" Domain ">" / "<Postmaster>" / Forward-path ) [SP Rcpt-parameters]
    esmtp-param = esmtp-keyword ["=" esmtp-value]

Values keep their case; a line that is wrong is a PermanentFailure with the reply.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from services.mta.limits import MAX_ENVID, MAX_ORCPT, MAX_PARAMETERS, MAX_PATH, MAX_SIZE_DIGITS
from shared.address import Address, AddressError, parse_address
from shared.errors import PermanentFailure
from shared.smtp.xtext import is_xtext

# possessive: a hostile line is read once
_PATH = r"[ \t]*+<((?:[^\"\\<>\s]++|\"(?:[^\"\\]|\\.)*+\")*+)>(?:[ \t]++(\S.*+))?\Z"
_MAIL = re.compile(rf"(?i:FROM):{_PATH}")
_RCPT = re.compile(rf"(?i:TO):{_PATH}")
_SOURCE_ROUTE = re.compile(r"@[^:@,\s]++(?:,@[^:@,\s]++)*+:")
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9\-]*)(?:=([^\s=\x00-\x20\x7f]+))?\Z")
_NOTIFY = re.compile(r"(?:NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY)){0,2})\Z")
_BY = re.compile(r"(-?[0-9]{1,9});([NRnr])([Tt]?)\Z")
_ORCPT = re.compile(r"[A-Za-z0-9\-]+;.")
_BDAT = re.compile(r"(\d{1,20})(?:[ \t]+(?i:(LAST)))?\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class By:
    """MAIL's BY parameter (RFC 2852 §4): seconds from now, N(otify) or R(eturn), whether relaying is reported."""

    seconds: int
    mode: str
    trace: bool


@dataclass(frozen=True, slots=True)
class Mail:
    """A MAIL command; `sender` is None for the null reverse-path, `size` octets or 0."""

    sender: Address | None
    size: int = 0
    eight_bit: bool = False
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""  # xtext as sent
    by: By | None = None


@dataclass(frozen=True, slots=True)
class Rcpt:
    """A RCPT command; `recipient` is None for <postmaster> without a domain."""

    recipient: Address | None
    orcpt: str = ""  # as sent
    notify: str = ""


@dataclass(frozen=True, slots=True)
class Bdat:
    """A BDAT command: so many octets follow (RFC 3030 §2)."""

    size: int
    last: bool


def parse_mail(argument: str, *, extended: bool = True) -> Mail:
    """Read what follows `MAIL `; `extended` says that the client greeted with EHLO."""
    match = _MAIL.match(argument)
    if match is None:
        raise _syntax("MAIL FROM:<address> [parameters]")
    path, rest = match.groups()
    if rest is None:
        return Mail(_address(path, smtputf8=False) if path else None)
    parameters = _parameters(rest, extended, _MAIL_KEYWORDS)
    smtputf8 = "SMTPUTF8" in parameters
    return Mail(
        sender=_address(path, smtputf8=smtputf8) if path else None,
        size=int(parameters.get("SIZE", "0")),
        eight_bit=parameters.get("BODY", "").upper() == "8BITMIME",
        smtputf8=smtputf8,
        ret=parameters.get("RET", "").upper(),
        envid=parameters.get("ENVID", ""),
        by=_by(parameters["BY"]) if "BY" in parameters else None,
    )


def parse_rcpt(argument: str, *, extended: bool = True, smtputf8: bool = False) -> Rcpt:
    """Read what follows `RCPT `; `smtputf8` says that MAIL had that parameter."""
    match = _RCPT.match(argument)
    if match is None:
        raise _syntax("RCPT TO:<address> [parameters]")
    path, rest = match.groups()
    recipient = None if path.lower() == "postmaster" else _address(path, smtputf8=smtputf8)
    if rest is None:
        return Rcpt(recipient)
    parameters = _parameters(rest, extended, _RCPT_KEYWORDS)
    if not smtputf8 and not rest.isascii():
        raise _bad("ORCPT")
    return Rcpt(recipient, parameters.get("ORCPT", ""), parameters.get("NOTIFY", "").upper())


def parse_bdat(argument: str) -> Bdat:
    """Read what follows `BDAT `."""
    match = _BDAT.match(argument)
    if match is None:
        raise _syntax("BDAT size [LAST]")
    return Bdat(int(match[1]), match[2] is not None)


@lru_cache(maxsize=4096)  # the same senders and recipients again and again
def _address(path: str, *, smtputf8: bool) -> Address:
    if not path.isascii() and not smtputf8:
        raise PermanentFailure("This address needs SMTPUTF8", code=553, status="5.6.7")
    route = _SOURCE_ROUTE.match(path)
    try:
        if len(path.encode()) > MAX_PATH - 2:
            raise AddressError(f"longer than {MAX_PATH} octets")
        return parse_address(path[route.end() :] if route else path)
    except (AddressError, UnicodeEncodeError):
        raise PermanentFailure("Malformed address", code=553, status="5.1.3") from None


def _parameters(text: str, extended: bool, keywords: dict[str, re.Pattern[str] | None]) -> dict[str, str]:
    """Return the values by upper-case keyword, "" for those without one."""
    words = text.split()
    if not extended or len(words) > MAX_PARAMETERS:
        raise PermanentFailure("No parameters, or fewer, please", code=501, status="5.5.4")
    parameters: dict[str, str] = {}
    for word in words:
        match = _PARAMETER.match(word)
        if match is None:
            raise PermanentFailure("Malformed parameter", code=501, status="5.5.4")
        keyword, value = match[1].upper(), match[2]
        if keyword not in keywords:
            raise PermanentFailure("Parameter not recognized", code=555, status="5.5.4")
        pattern = keywords[keyword]
        fits = value is None if pattern is None else value is not None and pattern.match(value)
        if not fits or keyword in parameters:
            raise _bad(keyword)
        parameters[keyword] = value or ""
    _check_dsn(parameters)
    return parameters


def _by(value: str) -> By:
    """RFC 2852 §4: what is to be returned needs time that isn't over."""
    match = _BY.match(value)
    seconds = int(match[1]) if match else 0
    if match is None or (match[2] in "Rr" and seconds <= 0):
        raise _bad("BY")
    return By(seconds, match[2].upper(), bool(match[3]))


def _check_dsn(parameters: dict[str, str]) -> None:
    """ENVID is xtext; ORCPT is a type and xtext, or UTF-8 for the type utf-8 (RFC 6533 §3)."""
    envid = parameters.get("ENVID", "")
    if len(envid) > MAX_ENVID or not is_xtext(envid):
        raise _bad("ENVID")
    orcpt = parameters.get("ORCPT", "")
    kind, _, value = orcpt.partition(";")
    if len(orcpt.encode("utf-8", "surrogateescape")) > MAX_ORCPT:
        raise _bad("ORCPT")
    if kind.lower() != "utf-8" and not is_xtext(value):
        raise _bad("ORCPT")
    if not orcpt.isascii() and any("\ud800" <= character <= "\udfff" for character in orcpt):
        raise _bad("ORCPT")


def _bad(keyword: str) -> PermanentFailure:
    return PermanentFailure(f"Bad value of {keyword}", code=501, status="5.5.4")


def _syntax(form: str) -> PermanentFailure:
    return PermanentFailure(f"Syntax: {form}", code=501, status="5.5.4")


_MAIL_KEYWORDS: dict[str, re.Pattern[str] | None] = {
    "SIZE": re.compile(rf"[0-9]{{1,{MAX_SIZE_DIGITS}}}\Z"),
    "BODY": re.compile(r"(?i)(?:7BIT|8BITMIME)\Z"),
    "SMTPUTF8": None,
    "RET": re.compile(r"(?i)(?:FULL|HDRS)\Z"),
    "ENVID": re.compile(r"."),
    "BY": _BY,
    "AUTH": re.compile(r"[!-~]{1,500}\Z"),  # who first submitted it (RFC 4954 §5): we trust nobody's word
}
_RCPT_KEYWORDS: dict[str, re.Pattern[str] | None] = {
    "NOTIFY": re.compile(_NOTIFY.pattern, re.IGNORECASE),
    "ORCPT": _ORCPT,
}
