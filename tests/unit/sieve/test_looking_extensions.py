"""Extensions that look at more: dates, bodies, the environment, scanners' verdicts, what is there at all."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from shared.sieve import compile_script
from shared.sieve.context import Location
from shared.sieve.script import Script, check
from tests.unit.sieve.harness import actions, holds, result

MIXED = b"""From: a@b.example
Subject: parts
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=xx

before
--xx
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: base64

SMOpbGxvIHdvcmxk
--xx
Content-Type: text/html

<p>Buy <b>now</b> &amp; here</p><style>hidden</style>
--xx
Content-Type: message/rfc822

Subject: inner secret

inner body
--xx--
after
""".replace(b"\n", b"\r\n")


@pytest.mark.parametrize(
    ("test", "outcome"),
    [
        ('date "date" "year" "2018"', True),
        ('date "date" "month" "02"', True),
        ('date "date" "day" "03"', True),
        ('date :originalzone "date" "day" "02"', True),
        ('date :originalzone "date" "hour" "22"', True),
        ('date :zone "-0500" "date" "date" "2018-02-02"', True),
        ('date "date" "time" "03:15:00"', True),
        ('date "date" "minute" "15"', True),
        ('date "date" "second" "00"', True),
        ('date :originalzone "date" "zone" "-0500"', True),
        ('date "date" "zone" "+0000"', True),
        ('date :originalzone "date" "iso8601" "2018-02-02T22:15:00-05:00"', True),
        ('date :originalzone "date" "std11" "Fri, 02 Feb 2018 22:15:00 -0500"', True),
        ('date :originalzone "date" "weekday" "5"', True),
        ('date "date" "weekday" "6"', True),
        ('date "date" "julian" "58152"', True),
        ('date :value "ge" "date" "year" "2018"', True),
        ('date :index 1 :originalzone "received" "minute" "20"', True),
        ('date :index 1 :last :originalzone "received" "minute" "16"', True),
        ('date :originalzone "received" "minute" ["16"]', True),
        ('date "x-none" "year" "2018"', False),
        ('date "subject" "year" "2018"', False),
        ('currentdate "date" "2026-11-23"', True),
        ('currentdate :zone "+1000" "weekday" "2"', True),
        ('currentdate :value "lt" "hour" "15"', True),
        ('currentdate :matches "std11" "*23 Nov 2026*"', True),
    ],
)
def test_dates(test: str, outcome: bool) -> None:
    assert holds(test, "date", "index", "relational") is outcome


def test_the_local_zone_is_the_clocks() -> None:
    now = datetime(2026, 6, 29, 23, 30, tzinfo=timezone(timedelta(hours=-7)))
    assert holds('currentdate "iso8601" "2026-06-29T23:30:00-07:00"', "date", now=now)
    assert holds('currentdate :zone "+0000" "day" "30"', "date", now=now)


@pytest.mark.parametrize(
    "value", [b"", b"nonsense", b"99 Foo 2018", b"1 Jan 99999 00:00:00 +9999", b"Mon, 1 Jan 0001 00:00:00 +2359"]
)
def test_dates_that_make_no_sense(value: bytes) -> None:
    assert not holds('date "date" "year" "2018"', "date", message=b"Date: " + value + b"\r\n\r\n")


@pytest.mark.parametrize(
    ("test", "outcome"),
    [
        ('header :index 1 :contains "received" "from c"', True),
        ('header :index 2 :contains "received" "from c"', False),
        ('header :index 1 :last :contains "received" "from a"', True),
        ('header :index 3 :contains "received" "from"', False),
        ('address :index 1 "to" "bugs@example.net"', True),
        ('address :index 2 "to" "bugs@example.net"', False),
    ],
)
def test_index(test: str, outcome: bool) -> None:
    assert holds(test, "index") is outcome


@pytest.mark.parametrize(
    ("test", "outcome"),
    [
        ('body :raw :contains "SMOpbGxv"', True),
        ('body :raw :contains "Subject: parts"', False),
        ('body :text :contains "héllo WORLD"', True),
        ('body :contains "buy  now  & here"', False),
        ('body :matches "*Buy*now*& here*"', True),
        ('body :contains "hidden"', False),
        ('body :content "text" :contains "héllo"', True),
        ('body :content "text/html" :contains "<b>now"', True),
        ('body :content "text/html" :contains "héllo"', False),
        ('body :content ["text/plain", "text/html"] :contains "héllo"', True),
        ('body :content "text/" :contains ""', False),
        ('body :content "multipart" :contains "after"', True),
        ('body :content "multipart/mixed" :contains "before"', True),
        ('body :content "message/rfc822" :contains "inner secret"', True),
        ('body :content "message" :contains "inner body"', False),
        ('body :content "" :contains "inner body"', True),
        ('body :content "image" :contains ""', False),
    ],
)
def test_body(test: str, outcome: bool) -> None:
    assert holds(test, "body", message=MIXED) is outcome


@pytest.mark.parametrize(
    ("test", "outcome"),
    [
        ('environment "location" "MDA"', True),
        ('environment :matches "REMOTE-HOST" "*.example"', True),
        ('environment :contains "vnd.none" ""', False),
    ],
)
def test_environment(test: str, outcome: bool) -> None:
    assert holds(test, "environment", environment={"location": "MDA", "remote-host": "mx.b.example"}) is outcome


@pytest.mark.parametrize(
    ("percent", "virus", "test", "outcome"),
    [
        (None, None, 'spamtest "0"', True),
        (None, None, 'spamtest :percent "0"', True),
        (None, None, 'spamtest :percent :count "eq" "0"', True),
        (0.0, None, 'spamtest "1"', True),
        (100.0, None, 'spamtest "10"', True),
        (50.0, None, 'spamtest :value "ge" :comparator "i;ascii-numeric" "5"', True),
        (37.0, None, 'spamtest :percent :value "eq" :comparator "i;ascii-numeric" "37"', True),
        (37.0, None, 'spamtest :percent :count "eq" "1"', True),
        (None, None, 'virustest "0"', True),
        (None, 5, 'virustest "5"', True),
        (None, 1, 'virustest :value "ge" :comparator "i;ascii-numeric" "3"', False),
    ],
)
def test_scanners(percent: float | None, virus: int | None, test: str, outcome: bool) -> None:
    required = ("spamtestplus", "virustest", "relational", "comparator-i;ascii-numeric")
    assert holds(test, *required, spam_percent=percent, virus=virus) is outcome


def test_ihave_turns_extensions_on() -> None:
    script = """require "ihave";
    if ihave ["fileinto", "copy"] { fileinto :copy "there"; }
    if allof(ihave "vnd.example", vnd_example "x") { vnd_do "y"; } else { redirect "a@b.example"; }
    if not ihave "vnd.example" { discard; } else { vnd_do "z"; }
    if ihave "variables" { keep; } else { unknown; }
    """
    assert actions(script) == ['file into "there" (copy)', "redirect to <a@b.example>", "discard", "keep"]


def test_without_ihave_nothing_is_excused() -> None:
    assert check('require "ihave"; if true { vnd_do; }')
    assert check('require "ihave"; if not ihave "fileinto" { } else { vnd_do; }')


def test_error_stops_with_an_implicit_keep() -> None:
    assert actions('require "ihave"; discard; error "reason";') == ["implicit keep", "error: reason"]


def library(**scripts: str):  # type: ignore[no-untyped-def]
    def load(location: Location, name: str) -> Script | None:
        source = scripts.get(f"{location.value}_{name}")
        return None if source is None else compile_script(source, name=name)

    return load


def test_include() -> None:
    load = library(
        personal_lists='require "fileinto"; if exists "subject" { fileinto "lists"; }',
        global_lists='require "fileinto"; fileinto "global";',
    )
    script = 'require "include"; include "lists"; include :global "lists";'
    assert actions(script, load=load) == ['file into "lists"', 'file into "global"']
    assert actions('require "include"; include :once "lists"; include :once "lists";', load=load) == [
        'file into "lists"'
    ]


def test_include_return_and_stop() -> None:
    load = library(
        personal_back='require ["include", "fileinto"]; fileinto "x"; if true { return; } fileinto "y";',
        personal_end="stop;",
    )
    script = 'require ["include", "fileinto"]; include "back"; include "end"; fileinto "z";'
    assert actions(script, load=load) == ['file into "x"']
    assert actions('require ["include", "fileinto"]; return; fileinto "z";') == ["implicit keep"]


def test_include_variables() -> None:
    load = library(
        personal_spam='require ["include", "variables"]; global ["test"]; set "test" "from ${test}"; set "own" "x";',
        personal_name='require ["include", "variables", "fileinto"]; fileinto "${global.test}-${own}";',
    )
    script = """require ["include", "variables", "fileinto"];
    global "test"; set "test" "me"; set "own" "mine";
    include "spam"; include "name"; fileinto "${test}-${own}";
    """
    assert actions(script, load=load) == ['file into "from me-"', 'file into "from me-mine"']


def test_include_errors() -> None:
    load = library(
        personal_a='require "include"; include "b";', personal_b='require "include"; include "a";', personal_bad="x;"
    )
    assert actions('require "include"; include "a";', load=load)[1] == 'error: the script "a" includes itself'
    assert (
        actions('require "include"; include "none";', load=load)[1]
        == 'error: there is no personal script "none" to include'
    )
    assert actions('require "include"; include :optional "none";', load=load) == ["implicit keep"]
    assert "has an error: bad: line 1, column 1" in actions('require "include"; include "bad";', load=load)[1]
    failing = library(personal_late='require "ihave";\nerror "x";')
    error = result('require "include"; include "late";', load=failing).error
    assert error is not None
    assert (error.script, error.line) == ("late", 2)


def test_includes_are_limited() -> None:
    def load(location: Location, name: str) -> Script:
        return compile_script(f'require "include"; include "{name}x";', name=name)

    assert (
        actions('require "include"; include "a";', load=load)[1]
        == "error: scripts are included more than 10 levels deep"
    )
