"""Arguments of the commands on mailboxes: CREATE, LIST, STATUS, rights, quotas and annotations."""

from __future__ import annotations

from collections.abc import Callable

from shared.imap import command as commands
from shared.imap.acl import MAX_IDENTIFIER, NEGATIVE, BadRights, parse_rights
from shared.imap.command import Command, StatusItem
from shared.imap.grammar import Scanner, SyntaxFailure
from shared.imap.limits import MAX_LIST_PATTERNS, MAX_MAILBOX_OPTIONS, MAX_QUOTA_RESOURCES, MAX_STATUS_ITEMS
from shared.imap.listing import CRITERIA, Return, Selection
from shared.imap.metadata import MAX_ENTRIES_ASKED, BadEntry, Depth, Query, parse_asked, parse_entry

Parse = Callable[[Scanner, bytes], Command]


def parse_create(scanner: Scanner, tag: bytes) -> Command:
    r"""CREATE, with `(USE (\Sent …))` (RFC 6154 §3)."""
    scanner.space()
    mailbox = scanner.mailbox()
    uses: tuple[bytes, ...] = ()
    if scanner.accept(b" "):
        found = scanner.parenthesised(lambda: _create_parameter(scanner), 1, "parameters")
        uses = found[0] if found else ()
    return commands.Create(tag, mailbox, uses)


def _create_parameter(scanner: Scanner) -> tuple[bytes, ...]:
    if scanner.atom_keyword() != b"USE":
        raise SyntaxFailure("Unknown parameter")
    scanner.space()
    return tuple(scanner.parenthesised(scanner.flag, MAX_MAILBOX_OPTIONS, "uses"))


def parse_list(scanner: Scanner, tag: bytes) -> Command:
    """LIST with what RFC 5258, 5819, 6154, 8440 and 9590 add."""
    scanner.space()
    selection: list[Selection] | None = None
    if scanner.peek() == b"(":
        selection = scanner.parenthesised(lambda: _selection(scanner), MAX_MAILBOX_OPTIONS, "options")
        scanner.space()
    reference = scanner.mailbox()
    scanner.space()
    several = scanner.peek() == b"("
    patterns = _patterns(scanner) if several else [scanner.list_mailbox()]
    returns = _Returns()
    is_extended = several or selection is not None
    if scanner.accept(b" "):
        is_extended = True
        _parse_returns(scanner, returns)
    chosen = frozenset(selection or ())
    if Selection.RECURSIVEMATCH in chosen and not chosen.intersection(CRITERIA):
        raise SyntaxFailure("RECURSIVEMATCH needs another selection option")
    return commands.List(
        tag,
        reference,
        tuple(patterns),
        chosen,
        frozenset(returns.options),
        returns.status,
        returns.metadata,
        is_extended,
    )


class _Returns:
    """Return options as they are read."""

    def __init__(self) -> None:
        self.options: set[Return] = set()
        self.status: tuple[StatusItem, ...] = ()
        self.metadata: tuple[str, ...] = ()


def _selection(scanner: Scanner) -> Selection:
    try:
        return Selection(scanner.atom_keyword())
    except SyntaxFailure:
        raise
    except ValueError:
        raise SyntaxFailure("Unknown selection option") from None


def _patterns(scanner: Scanner) -> list[str]:
    patterns = scanner.parenthesised(scanner.list_mailbox, MAX_LIST_PATTERNS, "patterns")
    if not patterns:
        raise SyntaxFailure("Expected a pattern")
    return patterns


def _parse_returns(scanner: Scanner, returns: _Returns) -> None:
    if scanner.keyword() != b"RETURN":
        raise SyntaxFailure("Expected RETURN")
    scanner.space()
    scanner.parenthesised(lambda: _parse_return(scanner, returns), MAX_MAILBOX_OPTIONS, "options")


def _parse_return(scanner: Scanner, returns: _Returns) -> None:
    name = scanner.atom_keyword()
    if name == b"STATUS":
        scanner.space()
        returns.status = _status_items(scanner)
    elif name == b"METADATA":
        scanner.space()
        returns.metadata = _entries(scanner)
    else:
        try:
            returns.options.add(Return(name))
        except ValueError:
            raise SyntaxFailure("Unknown return option") from None


def parse_status(scanner: Scanner, tag: bytes) -> Command:
    """STATUS."""
    scanner.space()
    mailbox = scanner.mailbox()
    scanner.space()
    return commands.Status(tag, mailbox, _status_items(scanner))


def _status_items(scanner: Scanner) -> tuple[StatusItem, ...]:
    items = scanner.parenthesised(lambda: _status_item(scanner), MAX_STATUS_ITEMS, "STATUS items")
    if not items:
        raise SyntaxFailure("Expected STATUS items")
    return tuple(dict.fromkeys(items))


def _status_item(scanner: Scanner) -> StatusItem:
    try:
        return StatusItem(scanner.atom_keyword())
    except SyntaxFailure:
        raise
    except ValueError:
        raise SyntaxFailure("Unknown STATUS item") from None


# Rights (RFC 4314 §3)


def parse_set_acl(scanner: Scanner, tag: bytes) -> Command:
    """SETACL: rights replace, or are added or taken away with + or - before them."""
    scanner.space()
    mailbox = scanner.mailbox()
    scanner.space()
    identifier = _identifier(scanner)
    scanner.space()
    text = _ascii(scanner.astring(), "rights")
    sign = text[0] if text[:1] in ("+", "-") else ""
    try:
        return commands.SetAcl(tag, mailbox, identifier, sign, parse_rights(text[len(sign) :]))
    except BadRights as error:
        raise SyntaxFailure(str(error)) from None


def with_identifier(make: Callable[[bytes, str, str], Command]) -> Parse:
    """DELETEACL and LISTRIGHTS."""

    def parse(scanner: Scanner, tag: bytes) -> Command:
        scanner.space()
        mailbox = scanner.mailbox()
        scanner.space()
        return make(tag, mailbox, _identifier(scanner))

    return parse


def _identifier(scanner: Scanner) -> str:
    octets = scanner.astring()
    try:
        identifier = octets.decode("utf-8")
    except UnicodeDecodeError:
        raise SyntaxFailure("An identifier is UTF-8") from None
    bare = identifier.removeprefix(NEGATIVE)
    if not bare or len(octets) > MAX_IDENTIFIER or not bare.isprintable():
        raise SyntaxFailure("Not an identifier")
    return identifier.lower()


# Quotas (RFC 9208)


def parse_get_quota(scanner: Scanner, tag: bytes) -> Command:
    """GETQUOTA."""
    scanner.space()
    return commands.GetQuota(tag, _root(scanner))


def parse_set_quota(scanner: Scanner, tag: bytes) -> Command:
    """SETQUOTA, whose resources and limits are looked at only for their form."""
    scanner.space()
    root = _root(scanner)
    scanner.space()
    scanner.parenthesised(lambda: _limit(scanner), MAX_QUOTA_RESOURCES, "resources")
    return commands.SetQuota(tag, root)


def _limit(scanner: Scanner) -> None:
    scanner.atom()
    scanner.space()
    scanner.number((1 << 63) - 1)


def _root(scanner: Scanner) -> str:
    return scanner.astring().decode("utf-8", "replace")


# Annotations (RFC 5464)


def parse_get_metadata(scanner: Scanner, tag: bytes) -> Command:
    """GETMETADATA; the options come first by its syntax, second in its examples."""
    scanner.space()
    options = _metadata_options(scanner) if scanner.peek() == b"(" else None
    if options is not None:
        scanner.space()
    mailbox = scanner.mailbox()
    scanner.space()
    if options is None and _is_options(scanner):
        options = _metadata_options(scanner)
        scanner.space()
    depth, max_size = options or (Depth.NONE, None)
    return commands.GetMetadata(tag, mailbox, Query(_entries(scanner), depth, max_size))


def _is_options(scanner: Scanner) -> bool:
    """Say whether a list isn't one of entries, which all begin with a slash."""
    ahead = scanner.text[scanner.position : scanner.position + 2]
    return ahead[:1] == b"(" and ahead[1:] not in (b"/", b'"', b"{")


def _metadata_options(scanner: Scanner) -> tuple[Depth, int | None]:
    depth, max_size = Depth.NONE, None

    def option() -> None:
        nonlocal depth, max_size
        name = scanner.atom_keyword()
        scanner.space()
        if name == b"MAXSIZE":
            max_size = scanner.number()
        elif name == b"DEPTH":
            depth = _depth(scanner)
        else:
            raise SyntaxFailure("Unknown option")

    scanner.parenthesised(option, MAX_MAILBOX_OPTIONS, "options")
    return depth, max_size


def _depth(scanner: Scanner) -> Depth:
    try:
        return Depth(scanner.atom_keyword())
    except SyntaxFailure:
        raise
    except ValueError:
        raise SyntaxFailure("DEPTH is 0, 1 or infinity") from None


def _entries(scanner: Scanner) -> tuple[str, ...]:
    if scanner.peek() != b"(":
        return (_entry(scanner, parse_asked),)
    entries = scanner.parenthesised(lambda: _entry(scanner, parse_asked), MAX_ENTRIES_ASKED, "entries")
    if not entries:
        raise SyntaxFailure("Expected entries")
    return tuple(dict.fromkeys(entries))


def _entry(scanner: Scanner, parse: Callable[[bytes], str]) -> str:
    try:
        return parse(scanner.astring())
    except BadEntry as error:
        raise SyntaxFailure(f"Bad entry: {error}") from None


def parse_set_metadata(scanner: Scanner, tag: bytes) -> Command:
    """SETMETADATA; NIL removes an entry."""
    scanner.space()
    mailbox = scanner.mailbox()
    scanner.space()
    values = scanner.parenthesised(lambda: _entry_value(scanner), MAX_ENTRIES_ASKED, "entries")
    if not values:
        raise SyntaxFailure("Expected entries")
    return commands.SetMetadata(tag, mailbox, tuple(dict(values).items()))


def _entry_value(scanner: Scanner) -> tuple[str, bytes | None]:
    entry = _entry(scanner, parse_entry)
    scanner.space()
    return entry, scanner.literal(binary=True) if scanner.peek() == b"~" else scanner.nstring()


def _ascii(octets: bytes, what: str) -> str:
    try:
        return octets.decode("ascii")
    except UnicodeDecodeError:
        raise SyntaxFailure(f"Expected {what}") from None
