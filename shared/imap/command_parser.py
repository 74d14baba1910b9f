"""From a command's octets to its value, by a table of command names (RFC 3501 §9)."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, TypeVar

from shared.imap import command as commands
from shared.imap import mailbox_parser
from shared.imap.append import AppendParser, Step
from shared.imap.command import Command, StoreAction
from shared.imap.fetch import FetchItem, parse_fetch_items
from shared.imap.grammar import Scanner, SyntaxFailure
from shared.imap.limits import (
    MAX_ENABLE_NAMES,
    MAX_FETCH_MODIFIERS,
    MAX_ID_FIELD,
    MAX_ID_PAIRS,
    MAX_ID_VALUE,
    MAX_MODSEQ,
    MAX_NUMBER,
    MAX_SELECT_PARAMETERS,
    MAX_TAG,
)
from shared.imap.mailbox_filter import MailboxFilter, parse_sources
from shared.imap.notify import parse_event_groups
from shared.imap.search import SearchKey
from shared.imap.search_parser import UnknownCharset, parse_search_program
from shared.imap.search_return import Partial, Return, ReturnOption, parse_partial, parse_return, parse_tags
from shared.imap.sequence import Range, SequenceSet, count
from shared.imap.sort import parse_criteria
from shared.imap.thread import ThreadAlgorithm

_C = TypeVar("_C")


class BadCommand(ValueError):
    """A command that can't be understood: answer `tag BAD text` (`* BAD` when there is no tag)."""

    def __init__(self, tag: bytes | None, text: str) -> None:
        super().__init__(text)
        self.tag = tag
        self.text = text.encode("ascii", "replace")


class BadCharset(BadCommand):
    """SEARCH in an unknown charset: answer `tag NO [BADCHARSET (…)] text` (RFC 3501 §6.4.4).

    `saves`: its result was to be saved, so that `$` is empty now (RFC 5182 §2.1).
    """

    def __init__(self, tag: bytes | None, text: str, *, saves: bool = False) -> None:
        super().__init__(tag, text)
        self.saves = saves


def parse_command(text: bytes, *, utf8: bool = False) -> Command:
    """Parse a whole command, as `CommandReceived` gives it; raises BadCommand. `utf8`: mailbox names are UTF-8."""
    return _parse(text, _parse_named, utf8)


def begin_append(text: bytes, *, utf8: bool = False) -> tuple[AppendParser, list[Step] | None]:
    """Parse `tag APPEND … {n}` (or REPLACE), as a `LiteralRequest` has it; raises BadCommand.

    The steps are None when the literal isn't a message's: it is to be buffered and the text parsed again.
    """
    return _parse(text, _begin_append, utf8)


def go_on_with_append(parser: AppendParser, tag: bytes, text: bytes) -> list[Step] | None:
    """Parse what comes after a streamed literal, up to the announcement of the next one; raises BadCommand."""
    try:
        return parser.announced(Scanner(text))
    except SyntaxFailure as error:
        raise BadCommand(tag, str(error)) from None


def end_append(parser: AppendParser, tag: bytes, text: bytes) -> list[Step]:
    """Parse what comes after the last streamed literal; raises BadCommand."""
    try:
        return parser.ended(Scanner(text))
    except SyntaxFailure as error:
        raise BadCommand(tag, str(error)) from None


def append_command(parser: AppendParser, tag: bytes) -> commands.Append | commands.Replace:
    """Return the command whose head the parser has read."""
    return _append_command(parser, tag, ())


def is_done(line: bytes) -> bool:
    """Say whether a line ends IDLE (RFC 2177 §3)."""
    return line.upper() == b"DONE"


def _parse(text: bytes, parse: Callable[[Scanner, bytes], _C], utf8: bool) -> _C:
    scanner = Scanner(text, utf8=utf8)
    tag: bytes | None = None
    try:
        tag = _parse_tag(scanner)
        return parse(scanner, tag)
    except UnknownCharset as error:
        raise BadCharset(tag, str(error), saves=error.saves) from None
    except SyntaxFailure as error:
        raise BadCommand(tag, str(error)) from None


def _parse_tag(scanner: Scanner) -> bytes:
    tag = scanner.tag()
    if len(tag) > MAX_TAG or scanner.peek() not in (b" ", b""):
        raise SyntaxFailure("Bad tag")
    return tag


def _parse_named(scanner: Scanner, tag: bytes) -> Command:
    return _dispatch(scanner, tag, COMMANDS)


def _begin_append(scanner: Scanner, tag: bytes) -> tuple[AppendParser, list[Step] | None]:
    scanner.space()
    make = _APPENDING.get(_words(scanner))
    if make is None:
        raise SyntaxFailure("Only APPEND takes such a literal")
    parser = make()
    return parser, parser.announced(scanner)


def _words(scanner: Scanner) -> bytes:
    """Read a command's name, `UID` in front of it included."""
    name = scanner.keyword()
    if name == b"UID":
        scanner.space()
        name += b" " + scanner.keyword()
    return name


_APPENDING: dict[bytes, Callable[[], AppendParser]] = {
    b"APPEND": AppendParser,
    b"REPLACE": partial(AppendParser, is_replace=True),
    b"UID REPLACE": partial(AppendParser, is_replace=True, uid=True),
}


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
    if known.has_star or known.saved:
        raise SyntaxFailure("A set of what is known has no * and no $")
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


def _parse_compress(scanner: Scanner, tag: bytes) -> Command:
    scanner.space()
    return commands.Compress(tag, scanner.atom_keyword())


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


def _parse_lsub(scanner: Scanner, tag: bytes) -> Command:
    scanner.space()
    reference = scanner.mailbox()
    scanner.space()
    return commands.Lsub(tag, reference, scanner.list_mailbox())


def _appending(name: bytes) -> Parse:
    def parse(scanner: Scanner, tag: bytes) -> Command:
        parser = _APPENDING[name]()
        return _append_command(parser, tag, tuple(parser.ended(scanner)))

    return parse


def _append_command(parser: AppendParser, tag: bytes, steps: tuple[Step, ...]) -> commands.Append | commands.Replace:
    head = parser.head
    if head is None:
        raise BadCommand(tag, "Expected a mailbox")
    if head.replaced is None:
        return commands.Append(tag, head.mailbox, steps)
    return commands.Replace(tag, head.replaced, head.mailbox, steps, head.uid)


# Messages


def _parse_uid(scanner: Scanner, tag: bytes) -> Command:
    return _dispatch(scanner, tag, UID_COMMANDS)


def _parse_uid_expunge(scanner: Scanner, tag: bytes) -> Command:
    scanner.space()
    return commands.UidExpunge(tag, scanner.sequence_set())


def _searching(uid: bool) -> Parse:
    def parse(scanner: Scanner, tag: bytes) -> Command:
        scanner.space()
        returns = _parse_returns(scanner)
        charset = _parse_charset(scanner)
        return commands.Search(tag, _parse_program(scanner, charset, returns), uid, charset, returns)

    return parse


def _sorting(uid: bool) -> Parse:
    def parse(scanner: Scanner, tag: bytes) -> Command:
        scanner.space()
        returns = _parse_returns(scanner)
        criteria = parse_criteria(scanner)
        scanner.space()
        charset, key = _parse_charset_and_key(scanner, returns)
        return commands.Sort(tag, criteria, key, uid, charset, returns)

    return parse


def _threading(uid: bool) -> Parse:
    def parse(scanner: Scanner, tag: bytes) -> Command:
        scanner.space()
        try:
            algorithm = ThreadAlgorithm(scanner.atom_keyword())
        except ValueError:
            raise SyntaxFailure("Unknown threading algorithm") from None
        scanner.space()
        charset, key = _parse_charset_and_key(scanner)
        return commands.Thread(tag, algorithm, key, uid, charset)

    return parse


def _parse_multi_search(scanner: Scanner, tag: bytes) -> Command:
    scanner.space()
    sources: tuple[MailboxFilter, ...] = ()
    if scanner.accept_word(b"IN"):
        sources = parse_sources(scanner)
        scanner.space()
    returns = _parse_returns(scanner) or Return()
    charset = _parse_charset(scanner)
    return commands.MultiSearch(tag, _parse_program(scanner, charset, returns), returns, sources, charset)


def _parse_cancel_update(scanner: Scanner, tag: bytes) -> Command:
    return commands.CancelUpdate(tag, parse_tags(scanner))


def _parse_returns(scanner: Scanner) -> Return | None:
    if not scanner.accept_word(b"RETURN"):
        return None
    returns = parse_return(scanner)
    scanner.space()
    return returns


def _parse_charset_and_key(scanner: Scanner, returns: Return | None = None) -> tuple[bytes, SearchKey]:
    charset = scanner.astring()
    scanner.space()
    return charset, _parse_program(scanner, charset, returns)


def _parse_program(scanner: Scanner, charset: bytes | None, returns: Return | None) -> SearchKey:
    try:
        return parse_search_program(scanner, charset)
    except UnknownCharset as error:
        error.saves = returns is not None and ReturnOption.SAVE in returns.options
        raise


def _parse_charset(scanner: Scanner) -> bytes | None:
    if not scanner.accept_word(b"CHARSET"):
        return None
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
        since, partial = modifiers.get(b"CHANGEDSINCE"), modifiers.get(b"PARTIAL")
        if vanished and (not uid or since is None):
            raise SyntaxFailure("VANISHED needs UID FETCH and CHANGEDSINCE")
        if partial is not None and not uid:
            raise SyntaxFailure("PARTIAL needs UID FETCH")
        adds_uid = uid and FetchItem.UID not in items
        if adds_uid:
            items = (FetchItem.UID, *items)
        if since is not None and FetchItem.MODSEQ not in items:
            items = (*items, FetchItem.MODSEQ)
        return commands.Fetch(tag, messages, items, uid, since, vanished, partial, adds_uid)

    return parse


def _parse_fetch_modifiers(scanner: Scanner) -> dict[bytes, Any]:
    """`(CHANGEDSINCE n VANISHED PARTIAL 1:100)` (RFC 7162 §3.1.4.1, §3.2.6, RFC 9394 §3.2)."""

    def modifier() -> tuple[bytes, int | Partial | None]:
        name = scanner.atom_keyword()
        if name == b"VANISHED":
            return name, None
        if name == b"PARTIAL":
            scanner.space()
            return name, parse_partial(scanner)
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


def _parse_notify(scanner: Scanner, tag: bytes) -> Command:
    scanner.space()
    word = scanner.atom_keyword()
    if word == b"NONE":
        return commands.Notify(tag)
    if word != b"SET":
        raise SyntaxFailure("Expected SET or NONE")
    scanner.space()
    with_status = scanner.peek() != b"("
    if with_status:
        if scanner.atom_keyword() != b"STATUS":
            raise SyntaxFailure("Expected STATUS or events")
        scanner.space()
    return commands.Notify(tag, parse_event_groups(scanner), with_status)


COMMANDS: dict[bytes, Parse] = {
    b"APPEND": _appending(b"APPEND"),
    b"AUTHENTICATE": _parse_authenticate,
    b"CANCELUPDATE": _parse_cancel_update,
    b"CAPABILITY": _bare(commands.Capability),
    b"CHECK": _bare(commands.Check),
    b"CLOSE": _bare(commands.Close),
    b"COMPRESS": _parse_compress,
    b"COPY": _copying(commands.Copy, uid=False),
    b"CREATE": mailbox_parser.parse_create,
    b"DELETE": _with_mailbox(commands.Delete),
    b"DELETEACL": mailbox_parser.with_identifier(commands.DeleteAcl),
    b"ENABLE": _parse_enable,
    b"ESEARCH": _parse_multi_search,
    b"EXAMINE": _selecting(commands.Examine),
    b"EXPUNGE": _bare(commands.Expunge),
    b"FETCH": _fetching(uid=False),
    b"GETACL": _with_mailbox(commands.GetAcl),
    b"GETMETADATA": mailbox_parser.parse_get_metadata,
    b"GETQUOTA": mailbox_parser.parse_get_quota,
    b"GETQUOTAROOT": _with_mailbox(commands.GetQuotaRoot),
    b"ID": _parse_id,
    b"IDLE": _bare(commands.Idle),
    b"LIST": mailbox_parser.parse_list,
    b"LISTRIGHTS": mailbox_parser.with_identifier(commands.ListRights),
    b"LOGIN": _parse_login,
    b"LOGOUT": _bare(commands.Logout),
    b"LSUB": _parse_lsub,
    b"MOVE": _copying(commands.Move, uid=False),
    b"MYRIGHTS": _with_mailbox(commands.MyRights),
    b"NAMESPACE": _bare(commands.Namespace),
    b"NOOP": _bare(commands.Noop),
    b"NOTIFY": _parse_notify,
    b"RENAME": _parse_rename,
    b"REPLACE": _appending(b"REPLACE"),
    b"SEARCH": _searching(uid=False),
    b"SORT": _sorting(uid=False),
    b"SELECT": _selecting(commands.Select),
    b"SETACL": mailbox_parser.parse_set_acl,
    b"SETMETADATA": mailbox_parser.parse_set_metadata,
    b"SETQUOTA": mailbox_parser.parse_set_quota,
    b"STARTTLS": _bare(commands.StartTls),
    b"STATUS": mailbox_parser.parse_status,
    b"STORE": _storing(uid=False),
    b"SUBSCRIBE": _with_mailbox(commands.Subscribe),
    b"THREAD": _threading(uid=False),
    b"UID": _parse_uid,
    b"UNAUTHENTICATE": _bare(commands.Unauthenticate),
    b"UNSELECT": _bare(commands.Unselect),
    b"UNSUBSCRIBE": _with_mailbox(commands.Unsubscribe),
}

UID_COMMANDS: dict[bytes, Parse] = {
    b"COPY": _copying(commands.Copy, uid=True),
    b"EXPUNGE": _parse_uid_expunge,
    b"FETCH": _fetching(uid=True),
    b"MOVE": _copying(commands.Move, uid=True),
    b"REPLACE": _appending(b"UID REPLACE"),
    b"SEARCH": _searching(uid=True),
    b"SORT": _sorting(uid=True),
    b"THREAD": _threading(uid=True),
    b"STORE": _storing(uid=True),
}
