"""What scanners do to a header: their changes applied, and the fields that tell what they said."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from shared.filters.limits import MAX_FIELD
from shared.filters.verdict import decisive
from shared.message.header import Field, find_header_end, iterate_fields
from shared.message.verdict import Change, HeaderChange, Verdict

OURS = (b"x-spam-flag", b"x-spam-score", b"x-spam-status", b"x-virus-status", b"x-packetboat-unscanned")
MAX_TESTS = 30  # named in X-Spam-Status
LINE = 76  # characters of a folded line

_NAME = re.compile(r"[!-9;-~]{1,100}\Z")
_END = re.compile(rb"\r\n|\r|\n")
_UNPRINTABLE = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")


def told(verdicts: Iterable[Verdict]) -> bytes:
    """Return the fields that tell a reader, and programs after us, what scanners said; b"" if nothing was said."""
    verdicts = list(verdicts)
    fields: list[str] = []
    scored = [verdict for verdict in verdicts if verdict.score is not None]
    if any(verdict.is_spam for verdict in verdicts):
        fields.append("X-Spam-Flag: YES")
    if scored:
        fields.append(f"X-Spam-Score: {max(verdict.score or 0.0 for verdict in scored):.2f}")
    fields += [_status(verdict) for verdict in scored]
    if any(verdict.looked_for_viruses for verdict in verdicts):
        names = [verdict.virus for verdict in verdicts if verdict.virus]
        fields.append(f"X-Virus-Status: Infected ({', '.join(names)})" if names else "X-Virus-Status: Clean")
    unscanned = [verdict.scanner for verdict in verdicts if verdict.failed]
    if unscanned:
        fields.append(f"X-Packetboat-Unscanned: {', '.join(unscanned)}")
    return b"".join(_line(field) for field in fields)


def reason_of(verdicts: Sequence[Verdict]) -> str:
    """Say in one line why a message is treated as it is."""
    verdict = decisive(verdicts)
    if verdict is None:
        return ""
    if verdict.virus:
        return f"{verdict.scanner}: virus {verdict.virus}"
    score = f" score {verdict.score:.2f} of {verdict.threshold or 0:.2f}" if verdict.score is not None else ""
    return f"{verdict.scanner}: {verdict.action.value}{score} {verdict.reason}".strip()


def without_ours(header: bytes) -> bytes:
    """Return a header without such fields that somebody else put there."""
    lower = header.lower()
    if not any(name in lower for name in OURS):
        return header
    kept, position = [], 0
    for field in iterate_fields(header, 0, find_header_end(header)):
        if field.name.lower() in OURS:
            kept.append(header[position : field.start])
            position = field.end
    return b"".join(kept) + header[position:]


def apply(header: bytes, changes: Sequence[HeaderChange]) -> bytes:
    """Return a header block (with its empty line, if there is one) after changes, each seeing those before it."""
    if not changes:
        return header
    end = find_header_end(header)
    fields = list(_fields(header, end))
    tail = header[sum(len(raw) for _, raw in fields) :]
    for change in changes:
        _apply(fields, change)
    if fields and not tail:
        name, last = fields[-1]
        fields[-1] = (name, last if last.endswith(b"\n") else last + b"\r\n")
    if not header[:end].strip() and tail[:1] not in (b"\r", b"\n"):
        tail = b"\r\n" + tail  # all of it is body
    return b"".join(raw for _, raw in fields) + tail


def field_of(name: str, value: bytes) -> bytes:
    """Return one field: a value with bare line ends or control characters is made whole; b"" for an impossible name."""
    if not _NAME.match(name):
        return b""
    lines = [_UNPRINTABLE.sub(b"?", line) for line in _END.split(value[:MAX_FIELD].strip(b"\r\n"))]
    folded = [
        lines[0].lstrip(),
        *(line if line[:1] in (b" ", b"\t") else b" " + line for line in lines[1:] if line.strip()),
    ]
    return name.encode("ascii") + b": " + b"\r\n".join(folded) + b"\r\n"


def _apply(fields: list[tuple[bytes, bytes]], change: HeaderChange) -> None:
    key, raw = change.name.lower().encode("ascii", "replace"), field_of(change.name, change.value)
    if not raw:
        return
    places = [place for place, (name, _) in enumerate(fields) if name == key]
    match change.change:
        case Change.ADD:
            fields.append((key, raw))
        case Change.INSERT:
            fields.insert(min(change.index, len(fields)), (key, raw))
        case Change.CHANGE:
            if 1 <= change.index <= len(places):
                fields[places[change.index - 1]] = (key, raw)
            else:
                fields.append((key, raw))
        case Change.REMOVE:
            chosen = places if change.index == 0 else places[change.index - 1 : change.index]
            for place in reversed(chosen):
                del fields[place]


def _fields(header: bytes, end: int) -> Iterator[tuple[bytes, bytes]]:
    """Cut a header into fields with their octets; what is no field belongs to the one before it."""
    found: list[Field] = list(iterate_fields(header, 0, end))
    body = end - (2 if header[:end].endswith(b"\r\n\r\n") or header[:end] == b"\r\n" else 0)
    if found and found[0].start:
        yield b"", header[: found[0].start]
    for number, field in enumerate(found):
        stop = found[number + 1].start if number + 1 < len(found) else min(max(field.end, body), end)
        yield field.name.lower(), header[field.start : stop]


def _status(verdict: Verdict) -> str:
    tests = ",".join(symbol.partition("(")[0] for symbol in verdict.symbols[:MAX_TESTS])
    required = f" required={verdict.threshold:.2f}" if verdict.threshold is not None else ""
    says = "Yes" if verdict.is_spam else "No"
    return (
        f"X-Spam-Status: {says}, score={verdict.score:.2f}{required} scanner={verdict.scanner} tests={tests or 'none'}"
    )


def _line(field: str) -> bytes:
    """Write a field of ours: ASCII, folded at spaces and commas."""
    name, _, text = field.partition(": ")
    text = "".join(c if " " <= c <= "~" else "?" for c in text)
    lines, line = [], f"{name}: "
    for word in re.findall(r"[^ ,]*[ ,]?", text):
        if len(line) + len(word) > LINE and line.strip():
            lines.append(line.rstrip())
            line = " " + word
        else:
            line += word
    lines.append(line.rstrip())
    return ("\r\n".join(one for one in lines if one.strip()) + "\r\n").encode("ascii")
