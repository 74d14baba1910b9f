"""Responses to a client, written (RFC 5804 §1.2 and §1.3)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from shared.managesieve.limits import MAX_QUOTED


class Code(StrEnum):
    """Response codes that tell programs why (RFC 5804 §1.3)."""

    ACTIVE = "ACTIVE"
    ALREADY_EXISTS = "ALREADYEXISTS"
    AUTH_TOO_WEAK = "AUTH-TOO-WEAK"
    ENCRYPT_NEEDED = "ENCRYPT-NEEDED"
    NONEXISTENT = "NONEXISTENT"
    QUOTA = "QUOTA"
    QUOTA_SCRIPTS = "QUOTA/MAXSCRIPTS"
    QUOTA_SIZE = "QUOTA/MAXSIZE"
    TRY_LATER = "TRYLATER"
    WARNINGS = "WARNINGS"


def ok(text: str = "", code: Code | None = None) -> bytes:
    """The command was carried out."""
    return _status("OK", text, code.value if code else "")


def no(text: str, code: Code | None = None) -> bytes:
    """It wasn't; the text may have several lines, one for each error of a script."""
    return _status("NO", text, code.value if code else "")


def bye(text: str, code: Code | None = None) -> bytes:
    """The server closes the connection."""
    return _status("BYE", text, code.value if code else "")


def ok_tag(tag: str, text: str = "") -> bytes:
    """The answer to NOOP with a string (RFC 5804 §2.13)."""
    return _status("OK", text, f"TAG {string(tag).decode()}")


def ok_sasl(data: bytes, text: str = "") -> bytes:
    """A login that ends with data of the server's, base64 already (RFC 5804 §2.1)."""
    return _status("OK", text, f"SASL {string(data).decode()}")


def challenge(data: bytes) -> bytes:
    """A SASL challenge, base64 already; the client answers with one string."""
    return string(data) + b"\r\n"


def capabilities(
    *,
    implementation: str,
    mechanisms: Iterable[str],
    extensions: Iterable[str],
    starttls: bool,
    max_redirects: int,
    owner: str = "",
    notify: Iterable[str] = ("mailto",),
) -> bytes:
    """The capability lines without the OK that ends them (RFC 5804 §1.7); no mechanisms means login is not offered."""
    lines = [
        ("IMPLEMENTATION", implementation),
        ("SASL", " ".join(mechanisms)),
        ("SIEVE", " ".join(extensions)),
        ("NOTIFY", " ".join(notify)),
        ("MAXREDIRECTS", str(max_redirects)),
        ("VERSION", "1.0"),
    ]
    if owner:
        lines.append(("OWNER", owner))
    written = b"".join(string(name) + b" " + string(value) + b"\r\n" for name, value in lines)
    return written + (b'"STARTTLS"\r\n' if starttls else b"")


def script_list(names: Iterable[str], active: str | None) -> bytes:
    """The lines of LISTSCRIPTS without the OK (RFC 5804 §2.7)."""
    return b"".join(string(name) + (b" ACTIVE" if name == active else b"") + b"\r\n" for name in names)


def script_body(octets: bytes) -> bytes:
    """The literal of GETSCRIPT without the OK (RFC 5804 §2.9)."""
    return b"{%d}\r\n%b\r\n" % (len(octets), octets)


def string(value: str | bytes) -> bytes:
    """A quoted string, or a literal where it must be one."""
    octets = value.encode("utf-8", "replace") if isinstance(value, str) else value
    if len(octets) > MAX_QUOTED or any(octet in octets for octet in b"\r\n\0"):
        return b"{%d}\r\n%b" % (len(octets), octets)
    return b'"' + octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def _status(word: str, text: str, code: str) -> bytes:
    parts = [word.encode()]
    if code:
        parts.append(b"(" + code.encode("utf-8", "replace") + b")")
    if text:
        parts.append(string(text))
    return b" ".join(parts) + b"\r\n"
