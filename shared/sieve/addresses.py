"""Addresses that a script names itself: checked before anything is sent to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.address import Address, AddressError, parse_address
from shared.message.addresslist import Kind, parse_addresses
from shared.message.header import decode_words
from shared.sieve.errors import Fault, RunError
from shared.sieve.headertext import encoded_words, header_field, one_line

if TYPE_CHECKING:
    from shared.sieve.run import Run
    from shared.sieve.template import Text


def check_address(text: Text | None) -> None:
    """Fault for a constant that isn't one mail address, with or without a display name."""
    if text is not None and text.constant is not None and mail_address(text.constant) is None:
        raise Fault(f'"{text.constant[:100]}" is not a mail address', text.node.line, text.node.column)


def address_of(text: Text, run: Run) -> Address:
    """The address that a string is, display name or not; RunError when it is none."""
    value = text(run)
    address = mail_address(value)
    if address is None:
        raise RunError(f'"{value[:100]}" is not a mail address')
    return address


def address_field(name: str, text: str) -> bytes:
    """A header field of one address that may have a display name, with its line end; never more than one address."""
    text = one_line(text)
    address = mail_address(text)
    if text.isascii() or address is None:
        return header_field(name, text)
    phrase = parse_addresses(text.encode("utf-8", "replace"))[0].name
    words = " ".join(encoded_words(decode_words(phrase))) + " " if phrase else ""
    return f"{name}: {words}<{address}>\r\n".encode("utf-8", "replace")


def mail_address(text: str) -> Address | None:
    """The one address in a text such as `Bob <bob@example.com>`, or None."""
    entries = [e for e in parse_addresses(text.strip().encode("utf-8", "replace")) if e.kind is Kind.MAILBOX]
    if len(entries) != 1 or "\n" in text or "\r" in text:
        return None
    entry = entries[0]
    local, host = (entry.mailbox or b"").decode(), (entry.host or b"").decode()
    try:
        return parse_address(f"{local}@{host}")
    except AddressError:
        pass
    try:
        quoted = local.replace("\\", "\\\\").replace('"', '\\"')
        return parse_address(f'"{quoted}"@{host}')
    except AddressError:
        return None
