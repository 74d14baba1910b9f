"""Fuzzes scripts and the messages they run on: damaged seeds are refused with a place, or run to an end."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.sieve import Context, Envelope, Limits, Message, ScriptError, check, compile_script, run
from shared.sieve.actions import FileInto, Keep, Redirect
from shared.sieve.comparator import COMPARATORS
from shared.sieve.context import Location, NamedLists, NamedMailboxes
from shared.sieve.glob import compile_glob
from shared.sieve.script import Script
from tests.unit.sieve.harness import MESSAGE
from tests.unit.sieve.test_looking_extensions import MIXED

FUZZ = settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
MAX_SECONDS = 2.0
NOW = datetime(2026, 11, 23, 14, 30, 5, tzinfo=UTC)

REQUIRES = """require ["fileinto", "envelope", "encoded-character", "copy", "body", "environment", "variables",
"vacation",
"vacation-seconds", "relational", "imap4flags", "subaddress", "spamtestplus", "virustest", "date", "index",
"editheader",
"reject", "ereject", "enotify", "ihave", "mailbox", "mboxmetadata", "foreverypart", "mime", "replace", "enclose",
"extracttext", "envelope-dsn", "redirect-dsn", "extlists", "include", "duplicate", "special-use", "fcc", "mailboxid",
"regex", "comparator-i;ascii-numeric", "comparator-i;unicode-casemap"];
"""
SCRIPTS = [
    'if header :matches "subject" ["*pr?sent*", "x"] { set :lower "a" "${1}"; fileinto :copy "X.${a}"; } else { '
    'keep; }',
    'if allof(address :detail "to" "fast", not envelope :domain "from" "x.example") { addflag "\\\\Seen"; stop; }',
    'foreverypart { if header :mime :type "content-type" "text" { extracttext :first 20 "t"; replace "${t}${t}"; } }',
    'addheader "X-A" "${hex:41}é"; deleteheader :index 1 :last "received"; enclose :subject "s" :headers ["to"] "x";',
    'vacation :days 3 :fcc "Sent" :flags "\\\\Seen" :addresses ["bugs@example.net"] text:\nI am away.\n..\n.\n;',
    'if body :content ["text", "message/rfc822"] :contains ["héllo", "secret"] { redirect :notify "NEVER" '
    '"a@b.example"; }',
    'if date :zone "+0100" :value "ge" "date" "julian" "58000" { notify :importance "1" "mailto:a@b.example?body=x"; }',
    'if anyof(header :regex "from" "([a-z]+)@(.*)", exists ["x", "y"], size :over 1K) { fileinto :create '
    '"${1}/${2}"; }',
    'global "g"; set "g" "x${g}x"; include :optional "self"; if string :count "eq" "${g}" "1" { reject "no"; }',
    'if ihave "vnd.x" { foo :bar "x" { baz; } } elsif duplicate :handle "h" { discard; } else { error "e${0}"; }',
    'if spamtest :percent :comparator "i;ascii-numeric" :value "gt" "50" { fileinto :specialuse "\\\\Junk" "Spam"; }',
]  # fmt: skip
SNIPPETS = st.sampled_from(
    [
        '"', "\\", "${", "}", "{", "(", ")", "[", "]", ";", ",", ":", "/*", "*/", "#", "text:\n", "\n.\n", "*",
        "?", "\r\n",
        "not ", "if true {", "} else {", "${1}", "${a}", "${unicode: 1F600}", "${hex: c3 28}", "10K", "9" * 30,
        "\0", "é",
        ":matches", ":count", ":list", ":copy", ":mime", "stop;", "keep;", "foreverypart {", "break;",
        "return;", "\ud83d",
    ]
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A seed or two with pieces put in, cut out, doubled or taken from elsewhere."""
    text = REQUIRES + "\n".join(draw(st.lists(st.sampled_from(SCRIPTS), min_size=1, max_size=3)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(text)))
        end = min(len(text), at + draw(st.integers(0, 40)))
        match draw(st.integers(0, 3)):
            case 0:
                text = text[:at] + draw(SNIPPETS) + text[at:]
            case 1:
                text = text[:at] + text[end:]
            case 2:
                text = text[:end] + text[at:end] + text[end:]
            case _:
                text = text[:at] + draw(st.text(max_size=5)) + text[end:]
    return text


def context(message: bytes) -> Context:
    def load(location: Location, name: str) -> Script:
        return compile_script(REQUIRES + 'global "g"; set "g" "${g}y"; include :once "other";')

    return Context(
        Message(message),
        Envelope("coyote@desert.example.org", "roadrunner+fast@acme.example.com", ("NEVER",), "rfc822;x", "FULL", "id"),
        NOW,
        mailboxes=NamedMailboxes(("Spam",), special_uses={"\\Junk": "Spam"}),
        load=load,
        lists=NamedLists({"x": ("a@b.example",)}),
        spam_percent=70.0,
        limits=Limits(steps=2000),
    )


@FUZZ
@given(mutated())
def test_scripts(text: str) -> None:
    started = time.monotonic()
    errors = check(text)
    lines = text.split("\n")
    for error in errors:
        assert 1 <= error.line <= len(lines)
        assert 1 <= error.column <= len(lines[error.line - 1]) + 1
        assert error.message
    if not errors:
        script = compile_script(text)
        for message in (MESSAGE, MIXED):
            result = run(script, context(message), traced=True)
            assert result.actions or not result.implicit_keep
            result.message.render()
    assert time.monotonic() - started < MAX_SECONDS


@FUZZ
@given(st.binary(max_size=200))
def test_octets(data: bytes) -> None:
    errors = check(data)
    assert all(error.line >= 1 and error.column >= 1 for error in errors)


@FUZZ
@given(st.sampled_from([MESSAGE, MIXED]), st.lists(st.tuples(st.integers(0, 600), st.binary(max_size=8)), max_size=6))
def test_messages(seed: bytes, damage: list[tuple[int, bytes]]) -> None:
    data = bytearray(seed)
    for at, octets in damage:
        data[at : at + len(octets)] = octets
    for text in SCRIPTS:
        result = run(_compiled(text), context(bytes(data)), traced=True)
        assert result.actions or not result.implicit_keep
        for action in result.actions:
            if isinstance(action, (Keep, FileInto, Redirect)):
                assert action.message.changed or action.message.render() == bytes(data)


_COMPILED: dict[str, Script] = {}


def _compiled(text: str) -> Script:
    if text not in _COMPILED:
        try:
            _COMPILED[text] = compile_script(REQUIRES + text)
        except ScriptError as error:
            raise AssertionError(str(error)) from None
    return _COMPILED[text]


def _matches(pattern: str, value: str) -> bool:
    """The plainest way there is: try every length for every star."""
    if not pattern:
        return not value
    if pattern[0] == "*":
        return any(_matches(pattern[1:], value[at:]) for at in range(len(value) + 1))
    if pattern[0] == "\\" and len(pattern) > 1:
        return value[:1] == pattern[1] and _matches(pattern[2:], value[1:])
    return bool(value) and pattern[0] in ("?", value[0]) and _matches(pattern[1:], value[1:])


@FUZZ
@given(st.text("ab*?\\", max_size=7), st.text("ab*\\", max_size=7), st.sampled_from(sorted(COMPARATORS)))
def test_patterns_against_a_model(pattern: str, value: str, name: str) -> None:
    if not COMPARATORS[name].substrings:
        return
    found = compile_glob(pattern, COMPARATORS[name])(value)
    assert (found is not None) is _matches(pattern, value)
    if found is not None:
        assert found[0] == value
        bare = pattern.replace("\\\\", "").replace("\\*", "").replace("\\?", "")
        assert len(found) == 1 + bare.count("*") + bare.count("?")
