"""Addresses that a script names itself: checked before anything is sent to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.address import Address, AddressError, parse_address
from shared.message.addresslist import HeaderAddress, Kind, parse_addresses
from shared.message.header import decode_words
from shared.sieve.errors import Fault, RunError
from shared.sieve.headertext import encoded_words, header_field, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.sieve.run import Run
    from shared.sieve.template import Text


def check_address(text: Text | None) -> None:
    """Fault for a constant that isn't one mail address, with or without a display name."""
    if text is not None and text.constant is not None and mail_address(text.constant) is None:
        raise Fault(f'"{text.constant[:100]}" is not a mail address', text.node.line, text.node.column)


def check_mailboxes(text: Text | None) -> None:
    """Fault for a constant that isn't a list of mail addresses (RFC 5322 §3.4: mailbox-list)."""
    if text is not None and text.constant is not None and not mailboxes(text.constant):
        raise Fault(f'"{text.constant[:100]}" is no list of mail addresses', text.node.line, text.node.column)


def mailboxes_of(text: Text, run: Run) -> None:
    """Check a list of mail addresses when it is known; RunError when it is none."""
    value = text(run)
    if not mailboxes(value):
        raise RunError(f'"{value[:100]}" is no list of mail addresses')


def address_of(text: Text, run: Run) -> Address:
    """The address that a string is, display name or not; RunError when it is none."""
    value = text(run)
    address = mail_address(value)
    if address is None:
        raise RunError(f'"{value[:100]}" is not a mail address')
    return address


def address_field(name: str, text: str) -> bytes:
    """A header field of addresses that may have display names, with its line end."""
    text = one_line(text)
    found = () if text.isascii() else mailboxes(text)
    if not found:
        return header_field(name, text)
    shown = ",\r\n ".join(f"{_words(phrase)}<{address}>" for phrase, address in found)
    return f"{name}: {shown}\r\n".encode("utf-8", "replace")


def mail_address(text: str) -> Address | None:
    """The one address in a text such as `Bob <bob@example.com>`, or None."""
    found = mailboxes(text)
    return found[0][1] if len(found) == 1 else None


def mailboxes(text: str) -> Sequence[tuple[bytes | None, Address]]:
    """Names and addresses of a text such as `Bob <bob@example.com>, ann@example.com`; empty if one is none."""
    if "\n" in text or "\r" in text:
        return ()
    entries = [e for e in parse_addresses(text.strip().encode("utf-8", "replace")) if e.kind is Kind.MAILBOX]
    found = [(entry.name, address) for entry in entries if (address := _address(entry)) is not None]
    return found if len(found) == len(entries) else ()


def _words(phrase: bytes | None) -> str:
    if not phrase:
        return ""
    if phrase.isascii() and b"=?" not in phrase:
        return '"' + phrase.decode().replace("\\", "\\\\").replace('"', '\\"') + '" '
    return " ".join(encoded_words(decode_words(phrase))) + " "


def _address(entry: HeaderAddress) -> Address | None:
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
