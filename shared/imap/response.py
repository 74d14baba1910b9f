"""Responses as octets (RFC 3501 §7); every function returns whole lines or values ready to be joined."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum

from shared.imap import mailbox_name
from shared.imap.command import StatusItem
from shared.imap.sequence import Range, render_ranges

CRLF = b"\r\n"
NIL = b"NIL"
MAX_QUOTED = 1024  # longer strings go as literals

_SAFE_QUOTED = re.compile(rb"[\x20-\x21\x23-\x5b\x5d-\x7e]*")
_QUOTABLE = re.compile(rb"[\x20-\x7e]*")
_ATOM_LIKE = re.compile(rb"[^\x00-\x20\x7f-\xff(){%*\"\\\]]+")
_UNSAFE_TEXT = re.compile(rb"[^\x20-\x7e]")


class Condition(Enum):
    """How a command ended (RFC 3501 §7.1)."""

    OK = b"OK"
    NO = b"NO"
    BAD = b"BAD"


# Status responses


def tagged(tag: bytes | None, condition: Condition, text: bytes, code: bytes | None = None) -> bytes:
    """Return `tag OK [code] text`; without a tag `* …`."""
    return b"%s %s %s\r\n" % (tag or b"*", condition.value, _human(text, code))


def ok(tag: bytes, text: bytes, code: bytes | None = None) -> bytes:
    """Return a command's success."""
    return tagged(tag, Condition.OK, text, code)


def no(tag: bytes, text: bytes, code: bytes | None = None) -> bytes:
    """Return a command's failure."""
    return tagged(tag, Condition.NO, text, code)


def bad(tag: bytes | None, text: bytes, code: bytes | None = None) -> bytes:
    """Return a command's rejection, untagged when there is no tag."""
    return tagged(tag, Condition.BAD, text, code)


def untagged_status(condition: Condition, text: bytes, code: bytes | None = None) -> bytes:
    """Return `* OK [code] text`."""
    return tagged(None, condition, text, code)


def greeting(text: bytes, capabilities: Sequence[bytes]) -> bytes:
    """Return the first line of a session, with the capabilities in it."""
    return untagged_status(Condition.OK, text, code_capability(capabilities))


def bye(text: bytes, code: bytes | None = None) -> bytes:
    """Return the last response of a session."""
    return b"* BYE " + _human(text, code) + CRLF


def continuation(text: bytes = b"OK") -> bytes:
    """Return the `+` that asks for a literal, for DONE, or for a SASL response (then base64)."""
    return b"+ " + text + CRLF


# Response codes, without their brackets

ALERT = b"ALERT"
ALREADYEXISTS = b"ALREADYEXISTS"
BADURL = b"BADURL"
COMPRESSIONACTIVE = b"COMPRESSIONACTIVE"
UNKNOWN_CTE = b"UNKNOWN-CTE"
AUTHENTICATIONFAILED = b"AUTHENTICATIONFAILED"
AUTHORIZATIONFAILED = b"AUTHORIZATIONFAILED"
CANNOT = b"CANNOT"
CLIENTBUG = b"CLIENTBUG"
CLOSED = b"CLOSED"
CONTACTADMIN = b"CONTACTADMIN"
EXPUNGEISSUED = b"EXPUNGEISSUED"
INUSE = b"INUSE"
LIMIT = b"LIMIT"
NONEXISTENT = b"NONEXISTENT"
NOTIFICATIONOVERFLOW = b"NOTIFICATIONOVERFLOW"
NOPERM = b"NOPERM"
OVERQUOTA = b"OVERQUOTA"
PRIVACYREQUIRED = b"PRIVACYREQUIRED"
READ_ONLY = b"READ-ONLY"
READ_WRITE = b"READ-WRITE"
SERVERBUG = b"SERVERBUG"
TOOBIG = b"TOOBIG"
TRYCREATE = b"TRYCREATE"
UIDNOTSTICKY = b"UIDNOTSTICKY"
UIDREQUIRED = b"UIDREQUIRED"
UNAVAILABLE = b"UNAVAILABLE"


def code_capability(names: Sequence[bytes]) -> bytes:
    """Return the CAPABILITY code."""
    return b"CAPABILITY " + b" ".join(names)


def code_badcharset(names: Iterable[bytes]) -> bytes:
    """Return the BADCHARSET code with the charsets that SEARCH does know."""
    return b"BADCHARSET (" + b" ".join(names) + b")"


def code_permanentflags(flag_list: bytes) -> bytes:
    """Return the PERMANENTFLAGS code for a rendered flag list."""
    return b"PERMANENTFLAGS " + flag_list


def code_uidvalidity(value: int) -> bytes:
    """Return the UIDVALIDITY code."""
    return b"UIDVALIDITY %d" % value


def code_uidnext(value: int) -> bytes:
    """Return the UIDNEXT code."""
    return b"UIDNEXT %d" % value


def code_unseen(sequence: int) -> bytes:
    """Return the UNSEEN code: the first message that wasn't seen."""
    return b"UNSEEN %d" % sequence


def code_mailboxid(object_id: str) -> bytes:
    """Return the MAILBOXID code (RFC 8474 §4)."""
    return b"MAILBOXID (%s)" % object_id.encode("ascii")


def code_appenduid(uidvalidity: int, uids: Iterable[Range]) -> bytes:
    """Return the APPENDUID code (RFC 4315 §3)."""
    return b"APPENDUID %d %s" % (uidvalidity, render_ranges(uids))


def code_copyuid(uidvalidity: int, sources: Iterable[Range], targets: Iterable[Range]) -> bytes:
    """Return the COPYUID code; both sets in the same order (RFC 4315 §3)."""
    return b"COPYUID %d %s %s" % (uidvalidity, render_ranges(sources), render_ranges(targets))


def code_badevent(names: Iterable[bytes]) -> bytes:
    """Return the BADEVENT code with the events that there are (RFC 5465 §3.1)."""
    return b"BADEVENT (" + b" ".join(names) + b")"


def code_highestmodseq(modseq: int) -> bytes:
    """Return the HIGHESTMODSEQ code (RFC 7162 §3.1.2.1)."""
    return b"HIGHESTMODSEQ %d" % modseq


def code_modified(numbers: Iterable[Range]) -> bytes:
    """Return the MODIFIED code: what STORE left alone (RFC 7162 §3.1.3)."""
    return b"MODIFIED " + render_ranges(numbers)


def code_inprogress(tag: bytes, done_of: tuple[int, int] | None) -> bytes:
    """Return the INPROGRESS code: how much of how much is done, as far as that is known (RFC 9585 §3)."""
    return b"INPROGRESS (%s %s)" % (quoted(tag), b"NIL NIL" if done_of is None else b"%d %d" % done_of)


def code_noupdate(tag: bytes) -> bytes:
    """Return the NOUPDATE code (RFC 5267 §4.3.1)."""
    return b"NOUPDATE " + quoted(tag)


# Data responses


def untagged(text: bytes) -> bytes:
    """Return `* text`."""
    return b"* " + text + CRLF


def capability(names: Sequence[bytes]) -> bytes:
    """Return the CAPABILITY response."""
    return b"* CAPABILITY " + b" ".join(names) + CRLF


def enabled(names: Sequence[bytes]) -> bytes:
    """Return the ENABLED response (RFC 5161 §3.2)."""
    return b" ".join((b"* ENABLED", *names)) + CRLF


def exists(count: int) -> bytes:
    """Return the number of messages."""
    return b"* %d EXISTS\r\n" % count


def recent(count: int) -> bytes:
    r"""Return the number of \Recent messages."""
    return b"* %d RECENT\r\n" % count


def expunge(sequence: int) -> bytes:
    """Return the removal of one message."""
    return b"* %d EXPUNGE\r\n" % sequence


def expunges(sequences: Iterable[int]) -> bytes:
    """Return the removal of messages, as `View.take_expunged` orders them."""
    return b"".join(map(b"* %d EXPUNGE\r\n".__mod__, sequences))


def vanished(uids: Iterable[Range], *, earlier: bool = False) -> bytes:
    """Return the removal of messages by their UIDs (RFC 7162 §3.2.10)."""
    return b"* VANISHED %s%s\r\n" % (b"(EARLIER) " if earlier else b"", render_ranges(uids))


def flags(flag_list: bytes) -> bytes:
    """Return the FLAGS response for a rendered flag list."""
    return b"* FLAGS " + flag_list + CRLF


def list_line(
    name: str,
    attributes: Iterable[bytes] = (),
    *,
    separator: str | None = mailbox_name.SEPARATOR,
    kind: bytes = b"LIST",
    utf8: bool = False,
    child_info: Sequence[bytes] = (),
    old_name: str | None = None,
) -> bytes:
    """Return one mailbox of LIST or LSUB; a name of None-separator has no hierarchy.

    `child_info` are the selection options that names below meet (RFC 5258 §3.5), `old_name` is what the mailbox was
    called before (RFC 9051 §6.3.9.7).
    """
    delimiter = NIL if separator is None else b'"%s"' % separator.encode("ascii")
    line = b"* %s (%s) %s %s" % (kind, b" ".join(attributes), delimiter, mailbox(name, utf8=utf8))
    extended: list[bytes] = []
    if child_info:
        extended.append(b'"CHILDINFO" (%s)' % b" ".join([quoted(option) for option in child_info]))
    if old_name is not None:
        extended.append(b'"OLDNAME" (%s)' % mailbox(old_name, utf8=utf8))
    return line + (b" (%s)" % b" ".join(extended) if extended else b"") + CRLF


def status(name: str, items: Mapping[StatusItem, int | bytes], *, utf8: bool = False) -> bytes:
    """Return the STATUS response; octets are a value as it goes over the wire."""
    values = b" ".join(
        [item.value + b" " + (value if isinstance(value, bytes) else b"%d" % value) for item, value in items.items()]
    )
    return b"* STATUS %s (%s)\r\n" % (mailbox(name, utf8=utf8), values)


def search(numbers: Iterable[int], modseq: int = 0) -> bytes:
    """Return the SEARCH response, also when nothing was found; with a mod-sequence if there is one (RFC 7162)."""
    found = b"".join([b" %d" % number for number in numbers])
    return b"* SEARCH" + found + (b" (MODSEQ %d)" % modseq if modseq else b"") + CRLF


def sort(numbers: Iterable[int], modseq: int = 0) -> bytes:
    """Return the SORT response (RFC 5256 §4)."""
    found = b"".join([b" %d" % number for number in numbers])
    return b"* SORT" + found + (b" (MODSEQ %d)" % modseq if modseq else b"") + CRLF


def thread(threads: bytes) -> bytes:
    """Return the THREAD response for rendered threads (RFC 5256 §4)."""
    return b"* THREAD" + (b" " + threads if threads else b"") + CRLF


def namespace(personal: bytes = b'(("" "/"))', other: bytes = NIL, shared: bytes = NIL) -> bytes:
    """Return the NAMESPACE response (RFC 2342)."""
    return b"* NAMESPACE %s %s %s\r\n" % (personal, other, shared)


def server_id(fields: Mapping[bytes, bytes | None] | None) -> bytes:
    """Return the ID response (RFC 2971)."""
    if not fields:
        return b"* ID NIL\r\n"
    pairs = [string(name) + b" " + nstring(value) for name, value in fields.items()]
    return b"* ID (" + b" ".join(pairs) + b")" + CRLF


# FETCH


def fetch(sequence: int, items: Iterable[bytes]) -> bytes:
    """Return a whole FETCH response from items such as `UID 7` or `FLAGS (\\Seen)`."""
    return b"* %d FETCH (%s)\r\n" % (sequence, b" ".join(items))


FETCH_END = b")\r\n"


def item(label: bytes, value: bytes) -> bytes:
    """Return an item with a rendered value."""
    return label + b" " + value


def literal_item_head(label: bytes, size: int) -> bytes:
    """Return an item up to its literal's octets, which follow."""
    return b"%s {%d}\r\n" % (label, size)


# Strings


def quoted(text: bytes) -> bytes:
    """Return a quoted string of printable ASCII."""
    return b'"' + text.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def literal(data: bytes) -> bytes:
    """Return a literal."""
    return b"{%d}\r\n%s" % (len(data), data)


def string(data: bytes) -> bytes:
    """Return a quoted string where that is possible, else a literal."""
    if len(data) <= MAX_QUOTED:
        if _SAFE_QUOTED.fullmatch(data):
            return b'"' + data + b'"'
        if _QUOTABLE.fullmatch(data):
            return quoted(data)
    return literal(data)


def nstring(data: bytes | None) -> bytes:
    """Return a string, or NIL for None."""
    return NIL if data is None else string(data)


def astring(data: bytes) -> bytes:
    """Return an atom where that is possible, else a string."""
    if _ATOM_LIKE.fullmatch(data) and data.upper() != NIL:
        return data
    return string(data)


def mailbox(name: str, *, utf8: bool = False) -> bytes:
    """Return a mailbox name in modified UTF-7, or in UTF-8 (RFC 6855 §3, RFC 9051 §5.1)."""
    if not utf8:
        return astring(mailbox_name.encode(name))
    octets = name.encode("utf-8", "replace")
    return astring(octets) if octets.isascii() else quoted(octets)


def _human(text: bytes, code: bytes | None) -> bytes:
    safe = _UNSAFE_TEXT.sub(b"?", text) or b"."
    return safe if code is None else b"[%s] %s" % (code, safe)
