"""From a command's octets to its value, by a table of command names (RFC 3501 §9)."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import TypeVar

from shared.imap import command as commands
from shared.imap.command import Command, StatusItem, StoreAction
from shared.imap.fetch import FetchItem, parse_fetch_items
from shared.imap.flags import FlagSet
from shared.imap.grammar import Scanner, SyntaxFailure
from shared.imap.limits import (
    MAX_ENABLE_NAMES,
    MAX_FETCH_MODIFIERS,
    MAX_ID_FIELD,
    MAX_ID_PAIRS,
    MAX_ID_VALUE,
    MAX_LIST_PATTERNS,
    MAX_LITERAL,
    MAX_MODSEQ,
    MAX_NUMBER,
    MAX_SELECT_PARAMETERS,
    MAX_STATUS_ITEMS,
    MAX_TAG,
)
from shared.imap.search_parser import UnknownCharset, parse_search_program
from shared.imap.sequence import Range, SequenceSet, count

_C = TypeVar("_C")


class BadCommand(ValueError):
    """A command that can't be understood: answer `tag BAD text` (`* BAD` when there is no tag)."""

    def __init__(self, tag: bytes | None, text: str) -> None:
        super().__init__(text)
        self.tag = tag
        self.text = text.encode("ascii", "replace")


class BadCharset(BadCommand):
    """SEARCH in an unknown charset: answer `tag NO [BADCHARSET (…)] text` (RFC 3501 §6.4.4)."""


def parse_command(text: bytes) -> Command:
    """Parse a whole command, as `CommandReceived` and `CommandTail` give it; raises BadCommand."""
    return _parse(text, _parse_named)


def parse_append(text: bytes) -> commands.Append:
    """Parse `tag APPEND … {n}`, as a `LiteralRequest` for its message gives it; raises BadCommand."""
    return _parse(text, _parse_append_head)


def is_done(line: bytes) -> bool:
    """Say whether a line ends IDLE (RFC 2177 §3)."""
    return line.upper() == b"DONE"


def _parse(text: bytes, parse: Callable[[Scanner, bytes], _C]) -> _C:
    scanner = Scanner(text)
    tag: bytes | None = None
    try:
        tag = _parse_tag(scanner)
        return parse(scanner, tag)
    except UnknownCharset as error:
        raise BadCharset(tag, str(error)) from None
    except SyntaxFailure as error:
        raise BadCommand(tag, str(error)) from None


def _parse_tag(scanner: Scanner) -> bytes:
    tag = scanner.tag()
    if len(tag) > MAX_TAG or scanner.peek() not in (b" ", b""):
        raise SyntaxFailure("Bad tag")
    return tag


def _parse_named(scanner: Scanner, tag: bytes) -> Command:
    return _dispatch(scanner, tag, COMMANDS)


def _parse_append_head(scanner: Scanner, tag: bytes) -> commands.Append:
    scanner.space()
    if scanner.keyword() != b"APPEND":
        raise SyntaxFailure("Only APPEND takes such a literal")
    return _append_arguments(scanner, tag, _announced)


Parse = Callable[[Scanner, bytes], Command]


def _dispatch(scanner: Scanner, tag: bytes, table: dict[bytes, Parse]) -> Command:
    scanner.space()
    parse = table.get(scanner.keyword())
    if parse is None:
        raise SyntaxFailure("Unknown command")
    command = parse(scanner, tag)
    scanner.end()
    return command


# Shapes of commands that several share


def _bare(make: Callable[[bytes], Command]) -> Parse:
    return lambda scanner, tag: make(tag)


def _with_mailbox(make: Callable[[bytes, str], Command]) -> Parse:
    def parse(scanner: Scanner, tag: bytes) -> Command:
        scanner.space()
        return make(tag, scanner.mailbox())

    return parse


def _with_parameters(make: Callable[[bytes, str, tuple[bytes, ...]], Command], known: frozenset[bytes]) -> Parse:
    """A mailbox and optional parameters in parentheses (RFC 4466 §2.1), of which an extension knows some."""

    def parse(scanner: Scanner, tag: bytes) -> Command:
        scanner.space()
        mailbox = scanner.mailbox()
        parameters: list[bytes] = []
        if scanner.accept(b" "):
            parameters = scanner.parenthesised(scanner.atom_keyword, max(len(known), 1), "parameters")
        if not known.issuperset(parameters):
            raise SyntaxFailure("Unknown parameter")
        return make(tag, mailbox, tuple(parameters))

    return parse


def _selecting(make: type[commands.Select] | type[commands.Examine]) -> Parse:
    """A mailbox, and CONDSTORE or QRESYNC in parentheses (RFC 7162 §7)."""

    def parse(scanner: Scanner, tag: bytes) -> Command:
        scanner.space()
        mailbox = scanner.mailbox()
        parameters = _parse_select_parameters(scanner) if scanner.accept(b" ") else {}
        return make(tag, mailbox, b"CONDSTORE" in parameters, parameters.get(b"QRESYNC"))

    return parse


def _parse_select_parameters(scanner: Scanner) -> dict[bytes, commands.Resync | None]:
    def parameter() -> tuple[bytes, commands.Resync | None]:
        name = scanner.atom_keyword()
        if name == b"CONDSTORE":
            return name, None
        if name != b"QRESYNC":
            raise SyntaxFailure("Unknown parameter")
        scanner.space()
        return name, _parse_resync(scanner)

    parameters = scanner.parenthesised(parameter, MAX_SELECT_PARAMETERS, "parameters")
    if not parameters or len(dict(parameters)) != len(parameters):
        raise SyntaxFailure("Expected parameters, each once")
    return dict(parameters)


# "QRESYNC" SP "(" uidvalidity SP mod-sequence-value [SP known-uids] [SP seq-match-data] ")"
def _parse_resync(scanner: Scanner) -> commands.Resync:
    scanner.expect(b"(")
    uidvalidity = _nonzero(scanner, MAX_NUMBER)
    scanner.space()
    modseq = _nonzero(scanner, MAX_MODSEQ)
    uids: SequenceSet | None = None
    matched: tuple[tuple[Range, ...], tuple[Range, ...]] = ((), ())
    if scanner.accept(b" ") and scanner.peek() != b"(":
        uids = _known_set(scanner)
        if scanner.accept(b" ") and scanner.peek() != b"(":
            raise SyntaxFailure("Expected known sequence numbers")
    if scanner.peek() == b"(":
        matched = _parse_sequence_match(scanner)
    scanner.expect(b")")
    return commands.Resync(uidvalidity, modseq, uids, *matched)


def _parse_sequence_match(scanner: Scanner) -> tuple[tuple[Range, ...], tuple[Range, ...]]:
    scanner.expect(b"(")
    sequences = _known_set(scanner).ranges
    scanner.space()
    uids = _known_set(scanner).ranges
    scanner.expect(b")")
    if not _is_ascending(sequences) or not _is_ascending(uids) or count(sequences) != count(uids):
        raise SyntaxFailure("Expected as many ascending UIDs as sequence numbers")
    return sequences, uids


def _known_set(scanner: Scanner) -> SequenceSet:
    known = scanner.sequence_set()
    if known.has_star:
        raise SyntaxFailure("A set of what is known has no *")
    return known


def _is_ascending(ranges: tuple[Range, ...]) -> bool:
    return all(left[1] < right[0] for left, right in pairwise(ranges))


def _nonzero(scanner: Scanner, largest: int) -> int:
    value = scanner.number(largest)
    if not value:
        raise SyntaxFailure("Expected a number above 0")
    return value


def _copying(make: type[commands.Copy] | type[commands.Move], uid: bool) -> Parse:
    def parse(scanner: Scanner, tag: bytes) -> Command:
        scanner.space()
        messages = scanner.sequence_set()
        scanner.space()
        return make(tag, messages, scanner.mailbox(), uid)

    return parse


# Before login


def _parse_authenticate(scanner: Scanner, tag: bytes) -> Command:
    scanner.space()
    mechanism = scanner.atom_keyword()
    response = scanner.match(_BASE64, "base64") if scanner.accept(b" ") else None
    return commands.Authenticate(tag, mechanism, response)


# initial-resp = (base64 / "="); what it holds is the mechanism's business
_BASE64 = re.compile(rb"=|[A-Za-z0-9+/=]+")


def _parse_login(scanner: Scanner, tag: bytes) -> Command:
    scanner.space()
    user = scanner.astring()
    scanner.space()
    return commands.Login(tag, user, scanner.astring())


def _parse_id(scanner: Scanner, tag: bytes) -> Command:
    scanner.space()
    if scanner.peek() != b"(":
        if scanner.nstring() is not None:
            raise SyntaxFailure("Expected a list or NIL")
        return commands.Id(tag, None)
    strings = scanner.parenthesised(scanner.nstring, 2 * MAX_ID_PAIRS, "ID fields")
    if len(strings) % 2:
        raise SyntaxFailure("An ID field has no value")
    return commands.Id(tag, tuple(map(_id_pair, strings[::2], strings[1::2])))


def _id_pair(field: bytes | None, value: bytes | None) -> tuple[bytes, bytes | None]:
    if field is None or len(field) > MAX_ID_FIELD or (value is not None and len(value) > MAX_ID_VALUE):
        raise SyntaxFailure("An ID field or value is too long")
    return field, value


def _parse_enable(scanner: Scanner, tag: bytes) -> Command:
    scanner.space()
    names = [scanner.atom_keyword()]
    while scanner.accept(b" "):
        if len(names) >= MAX_ENABLE_NAMES:
            raise SyntaxFailure("Too many capabilities")
        names.append(scanner.atom_keyword())
    return commands.Enable(tag, tuple(names))


# Mailboxes


def _parse_rename(scanner: Scanner, tag: bytes) -> Command:
    scanner.space()
    mailbox = scanner.mailbox()
    scanner.space()
    return commands.Rename(tag, mailbox, scanner.mailbox())


def _parse_list(scanner: Scanner, tag: bytes) -> Command:
    scanner.space()
    selection = _parse_options(scanner, LIST_SELECTION_OPTIONS)
    if selection is not None:
        scanner.space()
    reference = scanner.mailbox()
    scanner.space()
    several = scanner.peek() == b"("
    patterns = [scanner.list_mailbox()] if not several else _parse_patterns(scanner)
    returns = None
    if scanner.accept(b" "):
        if scanner.keyword() != b"RETURN":
            raise SyntaxFailure("Expected RETURN")
        scanner.space()
        returns = _parse_options(scanner, LIST_RETURN_OPTIONS)
    extended = several or selection is not None or returns is not None
    return commands.List(tag, reference, tuple(patterns), selection or (), returns or (), extended)


def _parse_patterns(scanner: Scanner) -> list[str]:
    patterns = scanner.parenthesised(scanner.list_mailbox, MAX_LIST_PATTERNS, "patterns")
    if not patterns:
        raise SyntaxFailure("Expected a pattern")
    return patterns


def _parse_options(scanner: Scanner, known: frozenset[bytes]) -> tuple[bytes, ...] | None:
    if scanner.peek() != b"(":
        return None
    options = scanner.parenthesised(scanner.atom_keyword, max(len(known), 1), "options")
    if not known.issuperset(options):
        raise SyntaxFailure("Unknown option")
    return tuple(options)


def _parse_lsub(scanner: Scanner, tag: bytes) -> Command:
    scanner.space()
    reference = scanner.mailbox()
    scanner.space()
    return commands.Lsub(tag, reference, scanner.list_mailbox())


def _parse_status(scanner: Scanner, tag: bytes) -> Command:
    scanner.space()
    mailbox = scanner.mailbox()
    scanner.space()
    items = scanner.parenthesised(lambda: _status_item(scanner), MAX_STATUS_ITEMS, "STATUS items")
    if not items:
        raise SyntaxFailure("Expected STATUS items")
    return commands.Status(tag, mailbox, tuple(dict.fromkeys(items)))


def _status_item(scanner: Scanner) -> StatusItem:
    try:
        return StatusItem(scanner.atom_keyword())
    except ValueError as error:
        if isinstance(error, SyntaxFailure):
            raise
        raise SyntaxFailure("Unknown STATUS item") from None


def _parse_append_whole(scanner: Scanner, tag: bytes) -> Command:
    return _append_arguments(scanner, tag, _whole)


def _append_arguments(
    scanner: Scanner, tag: bytes, take: Callable[[Scanner], tuple[int, bool, bytes | None]]
) -> commands.Append:
    scanner.space()
    mailbox = scanner.mailbox()
    scanner.space()
    flags = FlagSet()
    if scanner.peek() == b"(":
        flags = scanner.flag_list()
        scanner.space()
    moment = None
    if scanner.peek() == b'"':
        moment = scanner.date_time()
        scanner.space()
    size, binary, literal = take(scanner)
    return commands.Append(tag, mailbox, flags, moment, size, binary, literal)


# literal or literal8 whose octets are yet to come
_ANNOUNCEMENT = re.compile(rb"(~?)\{([0-9]{1,20})\+?\}")


def _announced(scanner: Scanner) -> tuple[int, bool, bytes | None]:
    mark = _ANNOUNCEMENT.fullmatch(scanner.text, scanner.position)
    if mark is None or int(mark[2]) > MAX_LITERAL:
        raise SyntaxFailure("Expected a literal")
    return int(mark[2]), bool(mark[1]), None


def _whole(scanner: Scanner) -> tuple[int, bool, bytes | None]:
    binary = scanner.peek() == b"~"
    literal = scanner.literal(binary)
    return len(literal), binary, literal


# Messages


def _parse_uid(scanner: Scanner, tag: bytes) -> Command:
    return _dispatch(scanner, tag, UID_COMMANDS)


def _parse_uid_expunge(scanner: Scanner, tag: bytes) -> Command:
    scanner.space()
    return commands.UidExpunge(tag, scanner.sequence_set())


def _searching(uid: bool) -> Parse:
    def parse(scanner: Scanner, tag: bytes) -> Command:
        scanner.space()
        charset = _parse_charset(scanner)
        return commands.Search(tag, parse_search_program(scanner, charset), uid, charset)

    return parse


def _parse_charset(scanner: Scanner) -> bytes | None:
    if scanner.text[scanner.position : scanner.position + 8].upper() != b"CHARSET ":
        return None
    scanner.position += 8
    charset = scanner.astring()
    scanner.space()
    return charset


def _fetching(uid: bool) -> Parse:
    def parse(scanner: Scanner, tag: bytes) -> Command:
        scanner.space()
        messages = scanner.sequence_set()
        scanner.space()
        items = parse_fetch_items(scanner)
        modifiers = _parse_fetch_modifiers(scanner) if scanner.accept(b" ") else {}
        vanished = b"VANISHED" in modifiers
        since = modifiers.get(b"CHANGEDSINCE")
        if vanished and (not uid or since is None):
            raise SyntaxFailure("VANISHED needs UID FETCH and CHANGEDSINCE")
        if uid and FetchItem.UID not in items:
            items = (FetchItem.UID, *items)
        if since is not None and FetchItem.MODSEQ not in items:
            items = (*items, FetchItem.MODSEQ)
        return commands.Fetch(tag, messages, items, uid, since, vanished)

    return parse


def _parse_fetch_modifiers(scanner: Scanner) -> dict[bytes, int | None]:
    """`(CHANGEDSINCE n VANISHED)` (RFC 7162 §3.1.4.1, §3.2.6)."""

    def modifier() -> tuple[bytes, int | None]:
        name = scanner.atom_keyword()
        if name == b"VANISHED":
            return name, None
        if name != b"CHANGEDSINCE":
            raise SyntaxFailure("Unknown FETCH modifier")
        scanner.space()
        return name, _nonzero(scanner, MAX_MODSEQ)

    modifiers = scanner.parenthesised(modifier, MAX_FETCH_MODIFIERS, "modifiers")
    if not modifiers or len(dict(modifiers)) != len(modifiers):
        raise SyntaxFailure("Expected modifiers, each once")
    return dict(modifiers)


_STORE_ITEM = re.compile(rb"([+-]?FLAGS)(\.SILENT)?(?= )", re.IGNORECASE)


def _storing(uid: bool) -> Parse:
    def parse(scanner: Scanner, tag: bytes) -> Command:
        scanner.space()
        messages = scanner.sequence_set()
        scanner.space()
        unchanged_since = _parse_unchanged_since(scanner) if scanner.peek() == b"(" else None
        name = scanner.match(_STORE_ITEM, "FLAGS, +FLAGS or -FLAGS").upper()
        silent = name.endswith(b".SILENT")
        action = StoreAction(name.removesuffix(b".SILENT").decode("ascii"))
        scanner.space()
        return commands.Store(tag, messages, action, scanner.flags(), silent, uid, unchanged_since)

    return parse


def _parse_unchanged_since(scanner: Scanner) -> int:
    """`(UNCHANGEDSINCE n) ` (RFC 7162 §3.1.3); 0 is older than any message."""
    scanner.expect(b"(")
    if scanner.atom_keyword() != b"UNCHANGEDSINCE":
        raise SyntaxFailure("Unknown STORE modifier")
    scanner.space()
    value = scanner.number(MAX_MODSEQ)
    scanner.expect(b")")
    scanner.space()
    return value


# Extensions add their names here
CREATE_PARAMETERS: frozenset[bytes] = frozenset()
LIST_SELECTION_OPTIONS: frozenset[bytes] = frozenset()
# Both attributes are always returned (RFC 3348, RFC 6154), so asking for them changes nothing
LIST_RETURN_OPTIONS: frozenset[bytes] = frozenset((b"CHILDREN", b"SPECIAL-USE"))

COMMANDS: dict[bytes, Parse] = {
    b"APPEND": _parse_append_whole,
    b"AUTHENTICATE": _parse_authenticate,
    b"CAPABILITY": _bare(commands.Capability),
    b"CHECK": _bare(commands.Check),
    b"CLOSE": _bare(commands.Close),
    b"COPY": _copying(commands.Copy, uid=False),
    b"CREATE": _with_parameters(commands.Create, CREATE_PARAMETERS),
    b"DELETE": _with_mailbox(commands.Delete),
    b"ENABLE": _parse_enable,
    b"EXAMINE": _selecting(commands.Examine),
    b"EXPUNGE": _bare(commands.Expunge),
    b"FETCH": _fetching(uid=False),
    b"ID": _parse_id,
    b"IDLE": _bare(commands.Idle),
    b"LIST": _parse_list,
    b"LOGIN": _parse_login,
    b"LOGOUT": _bare(commands.Logout),
    b"LSUB": _parse_lsub,
    b"MOVE": _copying(commands.Move, uid=False),
    b"NAMESPACE": _bare(commands.Namespace),
    b"NOOP": _bare(commands.Noop),
    b"RENAME": _parse_rename,
    b"SEARCH": _searching(uid=False),
    b"SELECT": _selecting(commands.Select),
    b"STARTTLS": _bare(commands.StartTls),
    b"STATUS": _parse_status,
    b"STORE": _storing(uid=False),
    b"SUBSCRIBE": _with_mailbox(commands.Subscribe),
    b"UID": _parse_uid,
    b"UNSELECT": _bare(commands.Unselect),
    b"UNSUBSCRIBE": _with_mailbox(commands.Unsubscribe),
}

UID_COMMANDS: dict[bytes, Parse] = {
    b"COPY": _copying(commands.Copy, uid=True),
    b"EXPUNGE": _parse_uid_expunge,
    b"FETCH": _fetching(uid=True),
    b"MOVE": _copying(commands.Move, uid=True),
    b"SEARCH": _searching(uid=True),
    b"STORE": _storing(uid=True),
}
