"""Commands, with the examples of RFC 3501 §6 and of the extensions' RFCs."""

from __future__ import annotations

from datetime import date, timedelta, timezone

import pytest

from shared.imap import command as c
from shared.imap import flags
from shared.imap.command import Command, StatusItem, StoreAction
from shared.imap.command_parser import BadCharset, BadCommand, is_done, parse_command
from shared.imap.fetch import MACROS, BodySection, FetchItem, Partial, SectionText, sets_seen
from shared.imap.flags import FlagSet
from shared.imap.limits import MAX_SEARCH_DEPTH, MAX_TAG
from shared.imap.listing import Return
from shared.imap.search import (
    All,
    And,
    Body,
    DateTest,
    Flags,
    Header,
    InternalDate,
    Keyword,
    Larger,
    Not,
    Or,
    Recent,
    SentDate,
    Sequences,
    Smaller,
    Text,
    Uids,
)
from shared.imap.sequence import STAR, SequenceSet


def numbers(*ranges: tuple[int, int]) -> SequenceSet:
    return SequenceSet(ranges)


ONE = numbers((1, 1))
PACIFIC = timezone(timedelta(hours=-8))

EXAMPLES: dict[bytes, Command] = {
    b"abcd CAPABILITY": c.Capability(b"abcd"),
    b"a002 NOOP": c.Noop(b"a002"),
    b"a002 noop": c.Noop(b"a002"),
    b"A023 LOGOUT": c.Logout(b"A023"),
    b"a002 STARTTLS": c.StartTls(b"a002"),
    b"A001 AUTHENTICATE GSSAPI": c.Authenticate(b"A001", b"GSSAPI"),
    b"C01 AUTHENTICATE plain dGVzdAB0ZXN0AHRlc3Q=": c.Authenticate(b"C01", b"PLAIN", b"dGVzdAB0ZXN0AHRlc3Q="),
    b"C01 AUTHENTICATE EXTERNAL =": c.Authenticate(b"C01", b"EXTERNAL", b"="),
    b"a001 LOGIN SMITH SESAME": c.Login(b"a001", b"SMITH", b"SESAME"),
    b'a001 LOGIN "a\\"b" "c\\\\d"': c.Login(b"a001", b'a"b', b"c\\d"),
    b'a001 LOGIN smith "gr\xc3\xbcn"': c.Login(b"a001", b"smith", b"gr\xc3\xbcn"),
    b'a001 LOGIN smith ""': c.Login(b"a001", b"smith", b""),
    b"A001 LOGIN {11}\r\nFRED FOOBAR {7}\r\nfat man": c.Login(b"A001", b"FRED FOOBAR", b"fat man"),
    b"A001 LOGIN {11+}\r\nFRED FOOBAR {7+}\r\nfat man": c.Login(b"A001", b"FRED FOOBAR", b"fat man"),
    b"A142 SELECT INBOX": c.Select(b"A142", "INBOX"),
    b"A142 SELECT inBox": c.Select(b"A142", "INBOX"),
    b"A142 SELECT a]b": c.Select(b"A142", "a]b"),
    b"A932 EXAMINE blurdybloop": c.Examine(b"A932", "blurdybloop"),
    b"A003 CREATE owatagusiam/": c.Create(b"A003", "owatagusiam/"),
    b"A003 CREATE &ZeVnLIqe-": c.Create(b"A003", "日本語"),
    b"A685 DELETE foo/bar": c.Delete(b"A685", "foo/bar"),
    b"A683 RENAME blurdybloop sarasoop": c.Rename(b"A683", "blurdybloop", "sarasoop"),
    b"A002 SUBSCRIBE #news.comp.mail.mime": c.Subscribe(b"A002", "#news.comp.mail.mime"),
    b"A002 UNSUBSCRIBE #news.comp.mail.mime": c.Unsubscribe(b"A002", "#news.comp.mail.mime"),
    b'A101 LIST "" ""': c.List(b"A101", "", ("",)),
    b'A202 LIST ~/Mail/ "%"': c.List(b"A202", "~/Mail/", ("%",)),
    b'A682 LIST "" *': c.List(b"A682", "", ("*",)),
    b'A02 LIST "" ("INBOX" "Drafts" "Sent/%")': c.List(b"A02", "", ("INBOX", "Drafts", "Sent/%"), extended=True),
    b'A02 list "" "*" return (special-use children)': c.List(
        b"A02", "", ("*",), returns=frozenset((Return.SPECIAL_USE, Return.CHILDREN)), extended=True
    ),
    b'A02 LIST () "" *': c.List(b"A02", "", ("*",), extended=True),
    b'A002 LSUB "#news." "comp.mail.*"': c.Lsub(b"A002", "#news.", "comp.mail.*"),
    b"A042 STATUS blurdybloop (UIDNEXT MESSAGES)": c.Status(
        b"A042", "blurdybloop", (StatusItem.UIDNEXT, StatusItem.MESSAGES)
    ),
    b"FXXZ CHECK": c.Check(b"FXXZ"),
    b"A341 CLOSE": c.Close(b"A341"),
    b"A202 EXPUNGE": c.Expunge(b"A202"),
    b"a UNSELECT": c.Unselect(b"a"),
    b"A003 UID EXPUNGE 3000:3002": c.UidExpunge(b"A003", numbers((3000, 3002))),
    b"A003 COPY 2:4 MEETING": c.Copy(b"A003", numbers((2, 4)), "MEETING"),
    b"A003 UID COPY 304,319:320 x": c.Copy(b"A003", numbers((304, 304), (319, 320)), "x", uid=True),
    b"a UID MOVE 42:69 foo": c.Move(b"a", numbers((42, 69)), "foo", uid=True),
    b"a MOVE 1 foo": c.Move(b"a", ONE, "foo"),
    b"A002 IDLE": c.Idle(b"A002"),
    b"A001 NAMESPACE": c.Namespace(b"A001"),
    b"t1 ENABLE CONDSTORE x-good": c.Enable(b"t1", (b"CONDSTORE", b"X-GOOD")),
    b"a023 ID NIL": c.Id(b"a023", None),
    b"a023 ID ()": c.Id(b"a023", ()),
    b'a023 ID ("name" "sodr" "version" "19.34" "vendor" NIL)': c.Id(
        b"a023", ((b"name", b"sodr"), (b"version", b"19.34"), (b"vendor", None))
    ),
    b"A003 STORE 2:4 +FLAGS (\\Deleted)": c.Store(b"A003", numbers((2, 4)), StoreAction.ADD, FlagSet(flags.DELETED)),
    b"A003 STORE 1 FLAGS ()": c.Store(b"A003", ONE, StoreAction.REPLACE, FlagSet()),
    b"A003 UID STORE 1 -flags.silent \\seen $Junk": c.Store(
        b"A003", ONE, StoreAction.REMOVE, FlagSet(flags.SEEN, (b"$Junk",)), silent=True, uid=True
    ),
}


@pytest.mark.parametrize("text", EXAMPLES)
def test_examples(text: bytes) -> None:
    assert parse_command(text) == EXAMPLES[text]


@pytest.mark.parametrize("text", EXAMPLES)
def test_trailing_garbage_is_bad(text: bytes) -> None:
    with pytest.raises(BadCommand):
        parse_command(text + b" )")


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_beginning_is_bad_or_a_command(text: bytes) -> None:
    for end in range(len(text)):
        try:
            parse_command(text[:end])
        except BadCommand as bad:
            assert bad.text
            assert bad.tag is None or text.startswith(bad.tag)


BAD: dict[bytes, bytes | None] = {
    b"": None,
    b" ": None,
    b"+ NOOP": None,
    b"a+ NOOP": None,
    b"(": None,
    b"\0 NOOP": None,
    b"x" * (MAX_TAG + 1) + b" NOOP": None,
    b"a": b"a",
    b"a ": b"a",
    b"a  NOOP": b"a",
    b"a FOO": b"a",
    b"a UID": b"a",
    b"a UID NOOP": b"a",
    b"a NOOP ": b"a",
    b"a LOGIN x": b"a",
    b"a LOGIN x y z": b"a",
    b'a LOGIN "x y': b"a",
    b'a LOGIN "\\x" y': b"a",
    b"a LOGIN {5}\r\nabc y": b"a",
    b"a LOGIN ~{1}\r\na y": b"a",
    b"a LOGIN {1}\r\n\0 y": b"a",
    b"a SELECT": b"a",
    b"a SELECT &bad": b"a",
    b"a SELECT x (NOSUCH)": b"a",
    b"a SELECT b\xc3\xa4": b"a",
    b"a CREATE x (USE \\Drafts)": b"a",
    b'a LIST (BOGUS) "" *': b"a",
    b'a LIST "" * RETURN (BOGUS)': b"a",
    b'a LIST "" ()': b"a",
    b"a STATUS x ()": b"a",
    b"a STATUS x (FOO)": b"a",
    b"a STATUS x MESSAGES": b"a",
    b"a ID": b"a",
    b'a ID ("x")': b"a",
    b'a ID "x"': b"a",
    b'a ID ("' + b"n" * 31 + b'" "x")': b"a",
    b"a ENABLE": b"a",
    b"a AUTHENTICATE": b"a",
    b"a AUTHENTICATE PLAIN a,b": b"a",
    b"a FETCH 0 FLAGS": b"a",
    b"a FETCH 4294967296 FLAGS": b"a",
    b"a FETCH 1: FLAGS": b"a",
    b"a FETCH 1 ()": b"a",
    b"a FETCH 1 (ALL)": b"a",
    b"a FETCH 1 FOO": b"a",
    b"a FETCH 1 BODY[": b"a",
    b"a FETCH 1 BODY[MIME]": b"a",
    b"a FETCH 1 BODY[0]": b"a",
    b"a FETCH 1 BODY[1.]": b"a",
    b"a FETCH 1 BODY[HEADER.FIELDS]": b"a",
    b"a FETCH 1 BODY[HEADER.FIELDS ()]": b"a",
    b"a FETCH 1 BODY[]<0>": b"a",
    b"a FETCH 1 BODY[]<0.0>": b"a",
    b"a FETCH 1 BODY[1" + b".1" * 100 + b"]": b"a",
    b"a FETCH 1 FLAGS[]": b"a",
    b"a FETCH 1 (" + b" ".join([b"UID"] * 101) + b")": b"a",
    b"a STORE 1 FLAGS": b"a",
    b"a STORE 1 FLAGS.LOUD (\\Seen)": b"a",
    b"a STORE 1 FLAGS (\\Recent)": b"a",
    b"a STORE 1 FLAGS (\\Bogus)": b"a",
    b"a STORE 1 FLAGS (" + b"k" * 101 + b")": b"a",
    b"a COPY 1": b"a",
    b"a APPEND x": b"a",
    b"a APPEND x text": b"a",
    b'a APPEND x "31-Feb-1994 21:52:25 -0800" {0}\r\n': b"a",
    b'a APPEND x " 1-Feb-1994 25:52:25 -0800" {0}\r\n': b"a",
    b"a SEARCH": b"a",
    b"a SEARCH FOO": b"a",
    b"a SEARCH ()": b"a",
    b"a SEARCH OR ALL": b"a",
    b"a SEARCH SINCE 30-Feb-2000": b"a",
    b"a SEARCH KEYWORD \\Seen": b"a",
    b"a SEARCH LARGER x": b"a",
    b"a SEARCH SUBJECT {1}\r\n\xff": b"a",
    b"a SEARCH " + b"(" * 60 + b"ALL" + b")" * 60: b"a",
    b"a SEARCH " + b"NOT " * 60 + b"ALL": b"a",
    b"a SEARCH " + b"OR ALL " * 60 + b"ALL": b"a",
    b"a SEARCH " + b" ".join([b"ALL"] * 1001): b"a",
}


@pytest.mark.parametrize("text", BAD, ids=lambda text: text[:40].decode("latin-1"))
def test_bad(text: bytes) -> None:
    with pytest.raises(BadCommand) as bad:
        parse_command(text)
    assert bad.value.tag == BAD[text]
    assert bad.value.text.isascii()
    assert bad.value.text


def test_the_deepest_search_is_parsed() -> None:
    command = parse_command(b"a SEARCH " + b"NOT " * MAX_SEARCH_DEPTH + b"ALL")
    assert isinstance(command, c.Search)


FETCHES: dict[bytes, tuple[object, ...]] = {
    b"FLAGS": (FetchItem.FLAGS,),
    b"all": MACROS[b"ALL"],
    b"FAST": (FetchItem.FLAGS, FetchItem.INTERNALDATE, FetchItem.RFC822_SIZE),
    b"FULL": (
        FetchItem.FLAGS,
        FetchItem.INTERNALDATE,
        FetchItem.RFC822_SIZE,
        FetchItem.ENVELOPE,
        FetchItem.BODY,
    ),
    b"(FLAGS flags BODYSTRUCTURE)": (FetchItem.FLAGS, FetchItem.BODYSTRUCTURE),
    b"BODY": (FetchItem.BODY,),
    b"RFC822": (BodySection(b"RFC822"),),
    b"RFC822.HEADER": (BodySection(b"RFC822.HEADER", text=SectionText.HEADER, peek=True),),
    b"RFC822.TEXT": (BodySection(b"RFC822.TEXT", text=SectionText.TEXT),),
    b"RFC822.SIZE": (FetchItem.RFC822_SIZE,),
    b"BODY[]": (BodySection(b"BODY[]"),),
    b"body.peek[text]<0.2048>": (
        BodySection(b"BODY[TEXT]<0>", text=SectionText.TEXT, partial=Partial(0, 2048), peek=True),
    ),
    b"BODY[4.2.2.1]": (BodySection(b"BODY[4.2.2.1]", (4, 2, 2, 1)),),
    b"BODY[4.1.MIME]": (BodySection(b"BODY[4.1.MIME]", (4, 1), SectionText.MIME),),
    b"BODY[3.HEADER]": (BodySection(b"BODY[3.HEADER]", (3,), SectionText.HEADER),),
    b"(FLAGS BODY[HEADER.FIELDS (DATE FROM)])": (
        FetchItem.FLAGS,
        BodySection(b"BODY[HEADER.FIELDS (DATE FROM)]", text=SectionText.HEADER_FIELDS, fields=(b"DATE", b"FROM")),
    ),
    b'BODY.PEEK[2.HEADER.FIELDS.NOT ("X Y" {2}\r\nab)]<5.6>': (
        BodySection(
            b'BODY[2.HEADER.FIELDS.NOT ("X Y" ab)]<5>',
            (2,),
            SectionText.HEADER_FIELDS_NOT,
            (b"X Y", b"ab"),
            Partial(5, 6),
            peek=True,
        ),
    ),
}


@pytest.mark.parametrize("items", FETCHES)
def test_fetch(items: bytes) -> None:
    assert parse_command(b"A654 FETCH 2:4 " + items) == c.Fetch(b"A654", numbers((2, 4)), FETCHES[items])


@pytest.mark.parametrize(
    ("items", "seen"),
    [
        (b"BODY[]", True),
        (b"(FLAGS RFC822.TEXT)", True),
        (b"RFC822", True),
        (b"BODY.PEEK[]", False),
        (b"RFC822.HEADER", False),
        (b"FULL", False),
    ],
)
def test_what_sets_seen(items: bytes, seen: bool) -> None:
    command = parse_command(b"a FETCH 1 " + items)
    assert isinstance(command, c.Fetch)
    assert sets_seen(command.items) is seen


def test_uid_fetch_always_fetches_the_uid() -> None:
    plain = parse_command(b"A UID FETCH 4827313:* FLAGS")
    assert plain == c.Fetch(b"A", numbers((4827313, STAR)), (FetchItem.UID, FetchItem.FLAGS), uid=True, adds_uid=True)
    assert parse_command(b"A UID FETCH 4827313:* (FLAGS UID)") == c.Fetch(
        b"A", numbers((4827313, STAR)), (FetchItem.FLAGS, FetchItem.UID), uid=True
    )


FEB_1 = date(1994, 2, 1)
SEARCHES: dict[bytes, object] = {
    b'FLAGGED SINCE 1-Feb-1994 NOT FROM "Smith"': And(
        (Flags(flags.FLAGGED), InternalDate(DateTest.SINCE, FEB_1), Not(Header(b"from", "Smith")))
    ),
    b'TEXT "string not in mailbox"': Text("string not in mailbox"),
    b"1:3,*": Sequences(numbers((1, 3), (STAR, STAR))),
    b"*": Sequences(numbers((STAR, STAR))),
    b"UID 5": Uids(numbers((5, 5))),
    b"ALL": All(),
    b"all": All(),
    b"NEW": And((Recent(), Flags(flags.SEEN, present=False))),
    b"OLD": Not(Recent()),
    b"RECENT": Recent(),
    b"ANSWERED": Flags(flags.ANSWERED),
    b"UNANSWERED": Flags(flags.ANSWERED, present=False),
    b"DELETED": Flags(flags.DELETED),
    b"UNDELETED": Flags(flags.DELETED, present=False),
    b"DRAFT": Flags(flags.DRAFT),
    b"UNDRAFT": Flags(flags.DRAFT, present=False),
    b"UNFLAGGED": Flags(flags.FLAGGED, present=False),
    b"SEEN": Flags(flags.SEEN),
    b"UNSEEN": Flags(flags.SEEN, present=False),
    b"KEYWORD $Junk": Keyword(b"$Junk"),
    b"UNKEYWORD foo": Keyword(b"foo", present=False),
    b"BEFORE 1-Feb-1994": InternalDate(DateTest.BEFORE, FEB_1),
    b'ON "01-feb-1994"': InternalDate(DateTest.ON, FEB_1),
    b"SENTBEFORE 1-Feb-1994": SentDate(DateTest.BEFORE, FEB_1),
    b"SENTON 1-Feb-1994": SentDate(DateTest.ON, FEB_1),
    b"SENTSINCE 1-Feb-1994": SentDate(DateTest.SINCE, FEB_1),
    b"LARGER 4096": Larger(4096),
    b"SMALLER 1": Smaller(1),
    b"BCC x": Header(b"bcc", "x"),
    b"CC x": Header(b"cc", "x"),
    b"TO x": Header(b"to", "x"),
    b"SUBJECT {4}\r\nA\r\nB": Header(b"subject", "A\r\nB"),
    b'HEADER Message-ID ""': Header(b"message-id", ""),
    b"BODY x": Body("x"),
    b"OR (SEEN 1) NOT BODY x": Or(And((Flags(flags.SEEN), Sequences(ONE))), Not(Body("x"))),
    b"((SEEN))": Flags(flags.SEEN),
}


@pytest.mark.parametrize("key", SEARCHES)
def test_search(key: bytes) -> None:
    assert parse_command(b"A282 SEARCH " + key) == c.Search(b"A282", SEARCHES[key])  # type: ignore[arg-type]
    uid = parse_command(b"A282 UID SEARCH CHARSET utf-8 " + key)
    assert uid == c.Search(b"A282", SEARCHES[key], uid=True, charset=b"utf-8")  # type: ignore[arg-type]


def test_search_in_a_charset() -> None:
    text = "Grüße"
    for charset in ("UTF-8", "ISO-8859-1"):
        octets = text.encode(charset)
        command = parse_command(b"a SEARCH CHARSET %s TEXT {%d}\r\n%s" % (charset.encode(), len(octets), octets))
        assert isinstance(command, c.Search)
        assert command.key == Text("Grüße")


def test_search_in_an_unknown_charset() -> None:
    with pytest.raises(BadCharset) as bad:
        parse_command(b"a SEARCH CHARSET x-klingon TEXT q")
    assert bad.value.tag == b"a"


def test_done() -> None:
    assert is_done(b"DONE")
    assert is_done(b"done")
    assert not is_done(b"a NOOP")


def test_a_password_is_never_shown() -> None:
    assert "sesame" not in repr(parse_command(b"a LOGIN smith sesame"))
    assert "c2VzYW1l" not in repr(parse_command(b"a AUTHENTICATE PLAIN c2VzYW1l"))


def test_a_hundred_thousand_element_set_is_parsed() -> None:
    text = b",".join(b"%d" % n for n in range(1, 200_001, 2))
    command = parse_command(b"a UID FETCH " + text + b" FLAGS")
    assert isinstance(command, c.Fetch)
    assert len(command.messages.ranges) == 100_000
