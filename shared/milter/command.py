"""What the MTA tells a milter."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Mapping, Sequence

from shared.milter.packet import Packet

_PORT = struct.Struct(">H")
IPV6_TAG = "IPv6:"

ABORT = Packet(b"A")  # forget the message, keep the connection's facts
QUIT = Packet(b"Q")
DATA = Packet(b"T")
END_OF_HEADERS = Packet(b"N")
END_OF_MESSAGE = Packet(b"E")


def macros(command: bytes, values: Mapping[str, str]) -> Packet:
    """Define macros for the command of this letter; names of more than one letter are told in braces."""
    words = [word for name, value in values.items() for word in (name if len(name) == 1 else f"{{{name}}}", value)]
    return Packet(b"D", command + _strings(words))


def connect(hostname: str, ip: str, port: int) -> Packet:
    """Tell who is connected; `ip` may be anything that isn't an address when nobody knows."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return Packet(b"C", _strings([hostname]) + b"U")
    family, text = (b"4", str(address)) if address.version == 4 else (b"6", IPV6_TAG + str(address))
    return Packet(b"C", _strings([hostname]) + family + _PORT.pack(port) + _strings([text]))


def helo(name: str) -> Packet:
    """Tell the client's greeting."""
    return Packet(b"H", _strings([name]))


def mail(sender: str, parameters: Sequence[str] = ()) -> Packet:
    """Tell the reverse-path, without brackets, and ESMTP parameters."""
    return Packet(b"M", _strings([f"<{sender}>", *parameters]))


def rcpt(recipient: str, parameters: Sequence[str] = ()) -> Packet:
    """Tell a recipient, without brackets, and ESMTP parameters."""
    return Packet(b"R", _strings([f"<{recipient}>", *parameters]))


def header(name: bytes, value: bytes) -> Packet:
    """Tell a field; the line ends of a folded value are LF on this wire."""
    return Packet(b"L", name + b"\0" + value.replace(b"\r\n", b"\n") + b"\0")


def body(chunk: bytes) -> Packet:
    """Tell a piece of the body, BODY_CHUNK octets at most."""
    return Packet(b"B", chunk)


def _strings(words: Sequence[str]) -> bytes:
    return b"".join(word.replace("\0", "").encode("utf-8", "surrogateescape") + b"\0" for word in words)
