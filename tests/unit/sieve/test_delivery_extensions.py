"""Extensions that say where and how mail is kept: flags, mailboxes, copies, fields, lists, DSN."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.sieve import Envelope
from shared.sieve.actions import DeliverBy, FileInto, Keep, Redirect
from shared.sieve.context import DeliverByRequest, NamedLists, NamedMailboxes
from tests.unit.sieve.harness import MESSAGE, NOW, actions, holds, result

MAILBOXES = NamedMailboxes(
    names=("Partners", "Spam"),
    annotations={("INBOX", "/private/vendor/x"): "yes", (None, "/shared/color"): "blue"},
    special_uses={"\\Junk": "Spam"},
    ids={"F42": "Partners"},
)


def test_copy_leaves_the_implicit_keep() -> None:
    script = 'require ["copy", "fileinto"]; fileinto :copy "x"; redirect :copy "a@b.example";'
    assert actions(script) == ['file into "x" (copy)', "redirect to <a@b.example> (copy)", "implicit keep"]
    assert actions('require "copy"; redirect :copy "a@b.example"; discard;')[-1] == "discard"


@pytest.mark.parametrize(
    ("script", "flags"),
    [
        ('setflag "\\\\Seen";', ("\\Seen",)),
        ('setflag ["\\\\seen", "$Work"]; addflag "\\\\FLAGGED $work x";', ("\\Seen", "$Work", "\\Flagged", "x")),
        ('setflag "a b c"; removeflag ["B", "d"];', ("a", "c")),
        ('setflag "\\\\Recent \\\\Bogus a(b ok";', ("ok",)),
        ('addflag "a"; setflag "";', None),
    ],
)
def test_flags(script: str, flags: tuple[str, ...] | None) -> None:
    found = result(f'require "imap4flags"; {script}')
    (keep,) = found.actions
    assert isinstance(keep, Keep)
    assert keep.flags == flags


def test_flags_of_one_action_only() -> None:
    script = """require ["fileinto", "imap4flags"];
    addflag "\\\\Deleted";
    fileinto :flags ["\\\\Seen", "x"] "a";
    fileinto "b";
    keep :flags "";
    """
    first, second, third = result(script).actions
    assert isinstance(first, FileInto) and first.flags == ("\\Seen", "x")
    assert isinstance(second, FileInto) and second.flags == ("\\Deleted",)
    assert isinstance(third, Keep) and third.flags == ()


def test_flags_in_variables() -> None:
    script = """require ["imap4flags", "variables", "fileinto"];
    setflag "mine" ["\\\\Seen", "\\\\Draft"]; addflag "mine" "x"; removeflag "mine" "\\\\draft";
    if not hasflag "y" "x" { fileinto :flags "${mine}" "z"; }
    """
    (action,) = result(script).actions
    assert isinstance(action, FileInto)
    assert action.flags == ("\\Seen", "x")


@pytest.mark.parametrize(
    ("test", "outcome"),
    [
        ('hasflag "a"', True),
        ('hasflag "A"', True),
        ('hasflag "x beta"', True),
        ('hasflag :comparator "i;octet" "BETA"', False),
        ('hasflag :contains ["x", "eta"]', True),
        ('hasflag :matches "b*"', True),
        ('hasflag :count "eq" :comparator "i;ascii-numeric" "2"', True),
        ('hasflag "gamma"', False),
    ],
)
def test_hasflag(test: str, outcome: bool) -> None:
    required = ("imap4flags", "relational", "comparator-i;ascii-numeric")
    assert holds(test, *required, before='setflag ["a", "beta"];') is outcome


def test_the_last_flags_of_a_mailbox_count() -> None:
    script = 'require ["fileinto","imap4flags"]; fileinto :flags "a" "x"; fileinto :flags "b" "x";'
    (action,) = result(script).actions
    assert isinstance(action, FileInto)
    assert action.flags == ("b",)


@pytest.mark.parametrize(
    ("test", "outcome"),
    [
        ('mailboxexists "Partners"', True),
        ('mailboxexists ["inbox", "Partners"]', True),
        ('mailboxexists ["Partners", "none"]', False),
        ('metadata "INBOX" "/private/vendor/x" "yes"', True),
        ('metadata :contains "INBOX" "/PRIVATE/vendor/x" "e"', True),
        ('metadata :matches "Partners" "/private/vendor/x" "*"', False),
        ('metadataexists "INBOX" ["/private/vendor/x"]', True),
        ('metadataexists "INBOX" ["/private/vendor/x", "/private/none"]', False),
        ('servermetadata "/shared/color" "blue"', True),
        ('servermetadataexists ["/shared/color"]', True),
        ('servermetadataexists ["/shared/none"]', False),
        ('specialuse_exists "\\\\junk"', True),
        ('specialuse_exists ["\\\\Junk", "\\\\Archive"]', False),
        ('specialuse_exists "Spam" "\\\\Junk"', True),
        ('specialuse_exists "Partners" "\\\\Junk"', False),
        ('mailboxidexists "F42"', True),
        ('mailboxidexists ["F42", "F43"]', False),
    ],
)
def test_mailboxes(test: str, outcome: bool) -> None:
    required = ("mailbox", "mboxmetadata", "servermetadata", "special-use", "mailboxid")
    assert holds(test, *required, mailboxes=MAILBOXES) is outcome


def test_fileinto_by_other_than_a_name() -> None:
    script = """require ["fileinto", "mailbox", "special-use", "mailboxid"];
    fileinto :create "a"; fileinto :specialuse "\\\\Archive" :create "b"; fileinto :mailboxid "F42" "c";
    """
    assert actions(script) == [
        'file into "a" (create)',
        'file into "b" (create, special use \\Archive)',
        'file into "c" (mailbox id F42)',
    ]


def test_subaddress() -> None:
    for test, outcome in [
        ('address :user "to" "roadrunner"', True),
        ('address :detail "to" "fast"', True),
        ('address :detail "from" ""', False),
        ('address :detail :contains "from" ""', False),
        ('address :user "from" "coyote"', True),
        ('envelope :detail :matches "to" "f*"', True),
    ]:
        assert holds(test, "subaddress", "envelope") is outcome, test
    assert not holds('address :detail "to" "fast"', "subaddress", separator="")
    assert holds('address :detail "to" "x--y"', "subaddress", separator="--", message=b"To: a--x--y@b.example\r\n\r\n")


@pytest.mark.parametrize(
    ("test", "outcome"),
    [
        ('header :value "gt" :comparator "i;ascii-numeric" "x-priority" "2"', True),
        ('header :value "ge" :comparator "i;ascii-numeric" "x-priority" "3"', True),
        ('header :value "lt" :comparator "i;ascii-numeric" "x-priority" ["1", "10"]', True),
        ('header :value "ne" "x-priority" "3"', False),
        ('header :count "eq" :comparator "i;ascii-numeric" "received" "2"', True),
        ('header :count "ge" :comparator "i;ascii-numeric" ["received", "x-priority"] "3"', True),
        ('header :count "eq" :comparator "i;ascii-numeric" "x-none" "0"', True),
        ('address :count "gt" :comparator "i;ascii-numeric" ["to", "cc"] "2"', True),
        ('address :count "eq" :comparator "i;ascii-numeric" "to" "2"', True),
        ('envelope :count "eq" :comparator "i;ascii-numeric" "from" "1"', True),
    ],
)
def test_relational(test: str, outcome: bool) -> None:
    assert holds(test, "relational", "envelope", "comparator-i;ascii-numeric") is outcome


def test_addheader() -> None:
    script = 'require "editheader"; addheader "X-Top" "é"; addheader :last "X-End" "last one";'
    (keep,) = result(script).actions
    assert isinstance(keep, Keep) and keep.message.changed
    data = keep.message.render()
    assert data.startswith(b"X-Top: =?utf-8?B?w6k=?=\r\nFrom: ")
    assert b"-0500\r\nX-End: last one\r\n\r\nLook" in data
    assert data.count(b"\r\n") == MESSAGE.count(b"\r\n") + 2


@pytest.mark.parametrize(
    ("commands", "gone"),
    [
        ('deleteheader "x-priority";', b"X-Priority: 3\r\n"),
        ('deleteheader :is "x-priority" "4";', b""),
        ('deleteheader :contains "x-priority" ["1", "3"];', b"X-Priority: 3\r\n"),
        ('deleteheader :index 1 "cc";', b"Cc: Daffy <daffy@example.net>\r\n"),
        ('deleteheader :index 2 "cc";', b""),
        ('deleteheader :index 1 :last "cc";', b"Cc: Daffy <daffy@example.net>\r\n"),
        ('deleteheader "received";', b""),
        ('addheader "X-Hello" "World"; deleteheader :index 1 "X-Hello";', b""),
    ],
)
def test_deleteheader(commands: str, gone: bytes) -> None:
    found = result(f'require "editheader"; {commands}')
    assert found.error is None
    assert found.message.render() == MESSAGE.replace(gone, b"")


def test_the_first_and_third_of_a_name() -> None:
    """RFC 5293 §6: the second deletion counts what the first one left."""
    message = b"X-Hello: 1\r\nX-Hello: 2\r\nX-Hello: 3\r\n\r\nbody"
    found = result('require "editheader"; deleteheader :index 1 "X-Hello"; deleteheader :index 2 "X-Hello";', message)
    assert found.message.render() == b"X-Hello: 2\r\n\r\nbody"


def test_later_tests_and_actions_see_edited_fields() -> None:
    script = """require ["editheader", "fileinto", "copy"];
    fileinto :copy "before";
    addheader "X-New" "yes";
    if not header "x-new" "yes" { stop; }
    fileinto "after";
    """
    before, after = result(script).actions
    assert isinstance(before, FileInto) and before.message.render() == MESSAGE and not before.message.changed
    assert isinstance(after, FileInto) and after.message.render() == b"X-New: yes\r\n" + MESSAGE


def test_an_added_field_is_one_field() -> None:
    script = 'require "editheader"; addheader "X-A" "one\r\nX-B: two\r\n\r\nthree";'
    data = result(script).message.render()
    assert data.startswith(b"X-A: one X-B: two three\r\nFrom:")


def test_an_error_undoes_every_edit() -> None:
    script = 'require ["editheader", "ihave", "fileinto"]; addheader "X" "y"; fileinto "z"; error "no";'
    found = result(script)
    (keep,) = found.actions
    assert isinstance(keep, Keep) and keep.implicit and keep.message.render() == MESSAGE
    assert found.error is not None
    assert str(found.error) == "line 1, column 79: no"


@pytest.mark.parametrize(
    ("test", "outcome"),
    [
        ('envelope "notify" "SUCCESS"', True),
        ('envelope :all "notify" "SUCCESS"', True),
        ('envelope :count "eq" "notify" "2"', True),
        ('envelope :matches "orcpt" "rfc822;*@example.com"', True),
        ('envelope "ret" "hdrs"', True),
        ('envelope "envid" "id 1"', True),
        ('envelope "bytimerelative" "600"', True),
        ('envelope :zone "+0100" "bytimeabsolute" "2026-11-23T15:40:05+01:00"', True),
        ('envelope "bymode" "r"', True),
        ('envelope "bytrace" "true"', True),
    ],
)
def test_envelope_dsn_and_deliverby(test: str, outcome: bool) -> None:
    envelope = Envelope(
        "a@b.example",
        "c@d.example",
        ("SUCCESS", "FAILURE"),
        "rfc822;x@example.com",
        "HDRS",
        "id 1",
        DeliverByRequest(NOW + timedelta(minutes=10), "R", True),
    )
    required = ("envelope", "envelope-dsn", "envelope-deliverby", "relational")
    assert holds(test, *required, envelope=envelope) is outcome


def test_redirect_with_dsn_and_deliverby() -> None:
    script = """require ["redirect-dsn", "redirect-deliverby", "copy"];
    redirect :notify "success,failure" :ret "full" :copy "a@b.example";
    redirect :bymode "return" :bytimerelative 600 :bytrace "c@d.example";
    redirect :bytimeabsolute "2026-11-24T10:00:00+01:00" "e@f.example";
    """
    first, second, third = (action for action in result(script).actions if isinstance(action, Redirect))
    assert (first.notify, first.ret, first.copy) == ("SUCCESS,FAILURE", "FULL", True)
    assert second.deliver_by == DeliverBy(relative=600, mode="R", trace=True)
    assert third.deliver_by == DeliverBy(absolute="2026-11-24T10:00:00+01:00")


def test_external_lists() -> None:
    lists = NamedLists({"urn:friends": ("coyote@desert.example.org", "b@c.example"), "tag:empty": ()})
    assert holds('address :list "from" "urn:friends"', "extlists", lists=lists)
    assert not holds('address :list "to" ["tag:empty", "urn:friends"]', "extlists", lists=lists)
    assert holds('valid_ext_list ["urn:friends", "tag:empty"]', "extlists", lists=lists)
    assert not holds('valid_ext_list ["urn:none"]', "extlists", lists=lists)
    script = 'require "extlists"; redirect :list "urn:friends";'
    found = actions(script, lists=lists)
    assert found == ["redirect to <coyote@desert.example.org>", "redirect to <b@c.example>"]
    assert actions('require "extlists"; redirect :list "x";') == [
        "implicit keep",
        'error: there is no list "x" to redirect to',
    ]
