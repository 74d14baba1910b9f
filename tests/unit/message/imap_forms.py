"""A strict reader of IMAP's parenthesised forms and their grammar (RFC 3501 §9), to test what we render."""

from __future__ import annotations

import re

_QUOTED = re.compile(rb'"((?:[^"\\\r\n\0\x80-\xff]|\\["\\])*)"')
_LITERAL = re.compile(rb"\{(\d+)\}\r\n")
_NUMBER = re.compile(rb"\d+")

Form = list | bytes | int | None


def read_form(data: bytes) -> Form:
    """The one form that data is; AssertionError when it is anything else."""
    form, at = _read(data, 0)
    assert at == len(data), data[at : at + 40]
    return form


def _read(data: bytes, at: int) -> tuple[Form, int]:
    if data[at : at + 1] == b"(":
        return _read_list(data, at + 1)
    if data[at : at + 3] == b"NIL":
        return None, at + 3
    if match := _QUOTED.match(data, at):
        return re.sub(rb"\\(.)", rb"\1", match[1]), match.end()
    if match := _LITERAL.match(data, at):
        end = match.end() + int(match[1])
        text = data[match.end() : end]
        assert len(text) == int(match[1])
        assert b"\0" not in text
        return text, end
    match = _NUMBER.match(data, at)
    assert match, data[at : at + 40]
    return int(match[0]), match.end()


def _read_list(data: bytes, at: int) -> tuple[list, int]:
    items: list = []
    while data[at : at + 1] != b")":
        if items and data[at : at + 1] == b" ":
            at += 1
        elif items:  # addresses and body parts follow each other without a space
            assert data[at : at + 1] == b"(", data[at : at + 40]
            assert isinstance(items[-1], list)
        item, at = _read(data, at)
        items.append(item)
    assert items, "an empty list is never valid here"
    return items, at + 1


def check_envelope(form: Form) -> None:
    """Envelope = ten fields: strings, and lists of addresses of four strings each."""
    assert isinstance(form, list)
    assert len(form) == 10
    for index in (0, 1, 8, 9):
        _check_nstring(form[index])
    for index in range(2, 8):
        for address in form[index] or ():
            assert len(address) == 4
            for item in address:
                _check_nstring(item)


def check_body(form: Form, *, extended: bool) -> None:
    """body-type-mpart or body-type-1part, with the extension data or without."""
    assert isinstance(form, list)
    if isinstance(form[0], list):
        children = [item for item in form if isinstance(item, list)] if not extended else _leading_lists(form)
        for child in children:
            check_body(child, extended=extended)
        rest = form[len(children) :]
        assert isinstance(rest[0], bytes)
        assert len(rest) == (5 if extended else 1)
        if extended:
            _check_params(rest[1])
            _check_shared(rest[2:])
        return
    _check_single(form, extended=extended)


def _check_single(form: list, *, extended: bool) -> None:
    assert isinstance(form[0], bytes)
    assert isinstance(form[1], bytes)
    _check_params(form[2])
    _check_nstring(form[3])
    _check_nstring(form[4])
    assert isinstance(form[5], bytes)
    assert isinstance(form[6], int)
    at = 7
    if (form[0], form[1]) == (b"message", b"rfc822"):
        check_envelope(form[7])
        check_body(form[8], extended=extended)
        assert isinstance(form[9], int)
        at = 10
    elif form[0] == b"text":
        assert isinstance(form[7], int)
        at = 8
    if not extended:
        assert len(form) == at
        return
    _check_nstring(form[at])
    _check_shared(form[at + 1 :])


def _check_shared(rest: list) -> None:
    disposition, language, location = rest
    if disposition is not None:
        assert isinstance(disposition[0], bytes)
        _check_params(disposition[1])
    assert language is None or all(isinstance(tag, bytes) for tag in language)
    _check_nstring(location)


def _leading_lists(form: list) -> list:
    count = next(index for index, item in enumerate(form) if not isinstance(item, list))
    return form[:count]


def _check_params(form: Form) -> None:
    if form is not None:
        assert isinstance(form, list)
        assert len(form) % 2 == 0
        assert all(isinstance(item, bytes) for item in form)


def _check_nstring(form: Form) -> None:
    assert form is None or isinstance(form, bytes)
