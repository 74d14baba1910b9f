"""Extensions that make messages or refuse them: vacation, reject, notify, fcc, and duplicate."""

from __future__ import annotations

import pytest

from shared.sieve import Envelope
from shared.sieve.actions import Fcc, Mailto, Notify, TrackDuplicate, Vacation
from shared.sieve.mailto import MailtoError, parse_mailto
from tests.unit.sieve.harness import MESSAGE, actions, holds, result


def vacation(script: str, message: bytes = MESSAGE, **context: object) -> Vacation | None:
    found = result(
        f'require ["vacation", "vacation-seconds", "variables", "fcc", "mailbox"]; {script}', message, **context
    )
    assert found.error is None, found.error
    assert found.implicit_keep
    return next((action for action in found.actions if isinstance(action, Vacation)), None)


def test_an_answer() -> None:
    answer = vacation('vacation :days 23 :addresses ["tjs@example.edu"] "I\'m away";')
    assert answer is not None
    assert (answer.reason, answer.sender) == ("I'm away", "coyote@desert.example.org")
    assert answer.recipient == "roadrunner+fast@acme.example.com"
    assert answer.subject == "Auto: I have a présent for you"
    assert answer.seconds == 23 * 86400
    assert (answer.in_reply_to, answer.references) == ("<4321.1234@desert.example.org>",) * 2


@pytest.mark.parametrize(
    ("period", "seconds"),
    [("", 7 * 86400), (":days 0", 86400), (":days 1", 86400), (":days 1000", 90 * 86400), (":seconds 0", 0)],
)
def test_periods(period: str, seconds: int) -> None:
    answer = vacation(f'vacation {period} "x";')
    assert answer is not None
    assert answer.seconds == seconds


def test_keys_tell_answers_apart() -> None:
    same, other = vacation('vacation :handle "h" "a";'), vacation('vacation :handle "h" :subject "s" "b";')
    assert same is not None and other is not None and same.key == other.key
    keys = {
        answer.key
        for answer in map(
            vacation, ['vacation "a";', 'vacation "b";', 'vacation :subject "s" "a";', 'vacation :mime "a";']
        )
        if answer
    }
    assert len(keys) == 4


@pytest.mark.parametrize(
    "field",
    [
        b"Auto-Submitted: auto-generated",
        b"Auto-Submitted: auto-replied; x=y",
        b"Precedence: bulk",
        b"Precedence: List",
        b"List-Id: <x.example>",
        b"List-Unsubscribe: <mailto:x@y.example>",
        b"X-Auto-Response-Suppress: DR, OOF",
    ],
)
def test_no_answer_to_what_programs_send(field: bytes) -> None:
    assert vacation('vacation "x";', field + b"\r\n" + MESSAGE) is None
    assert vacation('vacation "x";', b"Auto-Submitted: no\r\n" + MESSAGE) is not None


def test_no_answer_to_spam() -> None:
    assert vacation('vacation "x";', spam_percent=50.0) is None
    assert vacation('vacation "x";', spam_percent=49.0) is not None


@pytest.mark.parametrize(
    "sender",
    ["", "MAILER-DAEMON@x.example", "owner-list@x.example", "list-request@x.example", "LISTSERV@x.example",
     "roadrunner+fast@acme.example.com", "no-reply@x.example"],
)  # fmt: skip
def test_no_answer_to_these_senders(sender: str) -> None:
    assert vacation('vacation "x";', envelope=Envelope(sender, "roadrunner+fast@acme.example.com")) is None


def test_no_answer_unless_the_user_is_named() -> None:
    envelope = Envelope("a@b.example", "someone@else.example")
    assert vacation('vacation "x";', envelope=envelope) is None
    assert vacation('vacation :addresses ["x@y.example", "Daffy@example.net"] "x";', envelope=envelope) is not None
    assert vacation('vacation "x";', envelope=envelope, addresses=["bugs@EXAMPLE.net"]) is not None


def test_a_second_vacation_is_an_error() -> None:
    assert actions('require "vacation"; vacation "a"; vacation "b";')[-1].startswith("error: vacation can't be done")


def test_fcc() -> None:
    answer = vacation('vacation :fcc "Sent" :create "x";')
    assert answer is not None
    assert answer.fcc == Fcc("Sent", create=True)
    script = 'require ["vacation", "fcc", "imap4flags", "special-use"];'
    script += 'vacation :flags "\\\\Seen" :specialuse "\\\\Sent" :fcc "S" "x";'
    found = next(action for action in result(script).actions if isinstance(action, Vacation))
    assert found.fcc == Fcc("S", flags=("\\Seen",), special_use="\\Sent")


def test_reject() -> None:
    assert actions('require "reject"; reject "go away";') == ["reject: 'go away'"]
    assert actions('require "ereject"; ereject text:\nno\n.\n;') == ["ereject: 'no\\r\\n'"]
    assert actions('require "reject"; discard; reject "x";') == ["discard", "reject: 'x'"]


@pytest.mark.parametrize(
    "commands",
    ['keep; reject "x";', 'reject "x"; keep;', 'fileinto "x"; reject "x";', 'reject "x"; redirect "a@b.example";',
     'vacation "x"; reject "x";', 'reject "x"; reject "x";', 'ereject "x"; vacation "y";'],
)  # fmt: skip
def test_reject_goes_with_nothing_else(commands: str) -> None:
    found = actions(f'require ["reject", "ereject", "fileinto", "vacation"]; {commands}')
    assert found[0] == "implicit keep"
    assert "can't be done together with" in found[1]


def test_notify() -> None:
    script = """require ["enotify", "variables", "fcc"];
    set "to" "a@b.example";
    notify :importance "1" :message "news" :from "Me <me@b.example>" :options ["x=y"] :fcc "Sent"
        "mailto:${to}?subject=hi%20there";
    """
    notice, _ = result(script).actions
    assert isinstance(notice, Notify)
    assert notice.mailto == Mailto(("a@b.example",), subject="hi there")
    assert (notice.importance, notice.message, notice.from_) == (1, "news", "Me <me@b.example>")
    assert notice.options == ("x=y",)
    assert notice.fcc == Fcc("Sent")


def test_a_notification_says_who_wrote_what_by_default() -> None:
    notice = result('require "enotify"; notify "mailto:a@b.example";').actions[0]
    assert isinstance(notice, Notify)
    assert notice.message == '"Coyote, Wile" <coyote@desert.example.org>: I have a présent for you'


def test_notifications_are_not_notified_of() -> None:
    message = b"Auto-Submitted: auto-notified; owner-email=x\r\n" + MESSAGE
    assert actions('require "enotify"; notify "mailto:a@b.example";', message) == ["implicit keep"]


@pytest.mark.parametrize(
    ("test", "outcome"),
    [
        ('valid_notify_method "mailto:a@b.example"', True),
        ('valid_notify_method ["mailto:a@b.example", "http://x.example"]', False),
        ('notify_method_capability "mailto:a@b.example" "Online" "maybe"', True),
        ('notify_method_capability "mailto:a@b.example" "Online" "yes"', False),
        ('notify_method_capability "xmpp:x" "Online" "maybe"', False),
    ],
)
def test_notify_tests(test: str, outcome: bool) -> None:
    assert holds(test, "enotify") is outcome


def test_encodeurl() -> None:
    script = 'require ["enotify", "variables", "fileinto"]; set :encodeurl "x" "a b/é?"; fileinto "${x}";'
    assert actions(script) == ['file into "a%20b%2F%C3%A9%3F"']


def test_mailto_uris() -> None:
    uri = "mailto:a@b.example,c%2Bd@e.example?to=f@g.example&cc=h@i.example"
    uri += "&Subject=x%0D%0ABcc:%20y&X-Foo=bar&from=z@z.example"
    found = parse_mailto(uri)
    assert found.to == ("a@b.example", "c+d@e.example", "f@g.example")
    assert found.cc == ("h@i.example",)
    assert found.subject == "x Bcc: y"
    assert found.headers == (("X-Foo", "bar"),)
    for bad in ["mailto:", "mailto:x", "http://a.example", "mailto:a@b.example?x", "mailto:a b@c.example",
                "mailto:" + ",".join(f"a{n}@b.example" for n in range(9))]:  # fmt: skip
        with pytest.raises(MailtoError):
            parse_mailto(bad)


def test_duplicates() -> None:
    asked: list[str] = []

    def seen(key: str) -> bool:
        asked.append(key)
        return len(asked) > 1

    script = 'require "duplicate"; if duplicate :seconds 60 { discard; }'
    track, _ = result(script, seen=seen).actions
    assert track == TrackDuplicate(asked[0], 60)
    assert actions(script, seen=seen) == ["discard"]
    assert asked[0] == asked[1]
    last = result('require "duplicate"; if duplicate :last { discard; }', seen=lambda key: True).actions
    assert last[0] == TrackDuplicate(asked[0], 7 * 86400)


def test_what_makes_a_duplicate() -> None:
    keys: list[str] = []

    def seen(key: str) -> bool:
        keys.append(key)
        return False

    for tags in ["", ':handle "a"', ':handle "b"', ':header "subject"', ':uniqueid "x"', ':header "x-none"']:
        result(f'require "duplicate"; if duplicate {tags} {{ }}', seen=seen)
    assert len(set(keys)) == len(keys) == 5
