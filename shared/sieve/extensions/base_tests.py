"""The base language's tests: address, exists, header, size, and what they compare with (RFC 5228 §2.7 and §5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.sieve.declare import (
    ADDRESS_PART,
    COMPARATOR,
    MATCH,
    NUMBER,
    STRING,
    STRINGS,
    Declaration,
    Extension,
    Tag,
)
from shared.sieve.errors import Fault
from shared.sieve.extensions.index import index_of, pick
from shared.sieve.extensions.mime_tests import mime_address, mime_exists, mime_header
from shared.sieve.extensions.subaddress import part_of
from shared.sieve.match import BASE_MATCHES
from shared.sieve.message import field_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.sieve.compiler import Call, Compiler
    from shared.sieve.declare import Check
    from shared.sieve.message import MailAddress
    from shared.sieve.run import Run
    from shared.sieve.template import Texts

ADDRESS_FIELDS = frozenset(
    [
        "from",
        "to",
        "cc",
        "bcc",
        "sender",
        "reply-to",
        "resent-from",
        "resent-to",
        "resent-cc",
        "resent-bcc",
        "resent-sender",
        "resent-reply-to",
        "return-path",
        "delivered-to",
        "envelope-to",
        "errors-to",
        "apparently-to",
        "original-to",
        "disposition-notification-to",
        "return-receipt-to",
        "mail-followup-to",
        "mail-reply-to",
        "original-from",
        "abuse-reports-to",
        "list-owner",
        "approved-by",
    ]
)
"""RFC 5228 §5.1: only fields that hold addresses; X- fields too, as many name the envelope so."""


def _header(call: Call, compiler: Compiler) -> Check:
    if call.has("mime"):
        return mime_header(call, compiler)
    names, match = call.texts(0), call.matcher(call.texts(1), compiler)
    index, last = index_of(call)
    if names.constant is not None and len(names.constant) == 1 and index is None:
        name = names.constant[0].lower()
        return lambda run: match(run, run.view.texts(name))

    def header(run: Run) -> bool:
        values = list[str]()
        for name in names(run):
            found = run.view.texts(name.lower())
            values += found if index is None else pick(found, index, last)
        return match(run, values)

    return header


def _address(call: Call, compiler: Compiler) -> Check:
    check_fields(call.texts(0))
    if call.has("mime"):
        return mime_address(call, compiler)
    names, match, part = call.texts(0), call.matcher(call.texts(1), compiler), call.address_part()
    index, last = index_of(call)

    def address(run: Run) -> bool:
        values, separator = list[str](), run.context.separator
        for name in names(run):
            fields: Sequence[list[MailAddress]] = run.view.addresses(name.lower())
            if index is not None:
                fields = pick(fields, index, last)
            for entry in (entry for field in fields for entry in field):
                value = part_of(entry, part, separator)
                if value is not None:
                    values.append(value)
        return match(run, values)

    return address


def check_fields(names: Texts) -> None:
    """Fault for a constant name of a field that holds no addresses."""
    for item in names.items:
        name = (item.constant or "").lower()
        if item.constant is not None and name not in ADDRESS_FIELDS and not name.startswith("x-"):
            raise Fault(f'the field "{item.constant[:100]}" holds no addresses', item.node.line, item.node.column)


def _exists(call: Call, compiler: Compiler) -> Check:
    if call.has("mime"):
        return mime_exists(call, compiler)
    names = call.texts(0)

    def exists(run: Run) -> bool:
        headers = run.view.headers
        for name in names(run):
            if field_key(name) not in headers:
                run.because(f"there is no {name!r}")
                return False
        return True

    return exists


def _size(call: Call, compiler: Compiler) -> Check:
    tag, limit = call.given("size"), call.number(0)
    if tag is None:
        raise call.fault('"size" needs ":over" or ":under"')
    over = tag.name == "over"

    def size(run: Run) -> bool:
        if run.trace is not None:
            run.because(f"the size is {run.view.size}")
        return run.view.size > limit if over else run.view.size < limit

    return size


EXTENSION = Extension(
    "",
    tests=(
        Declaration("header", _header, (STRINGS, STRINGS), groups=(MATCH, COMPARATOR)),
        Declaration("address", _address, (STRINGS, STRINGS), groups=(MATCH, COMPARATOR, ADDRESS_PART)),
        Declaration("exists", _exists, (STRINGS,)),
        Declaration("size", _size, (NUMBER,), (Tag("over", group="size"), Tag("under", group="size"))),
    ),
    tags={
        COMPARATOR: (Tag(COMPARATOR, STRING),),
        ADDRESS_PART: tuple(Tag(name, group=ADDRESS_PART) for name in ("all", "localpart", "domain")),
    },
    matches=BASE_MATCHES,
)
