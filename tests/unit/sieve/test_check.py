"""What is wrong with a script, all of it, each with its line and column."""

from __future__ import annotations

import pytest

from shared.operations.scripts import MAX_SCRIPT_BYTES
from shared.sieve import LANGUAGE, check
from shared.sieve.limits import DEFAULT


def test_several_errors_in_one_script() -> None:
    script = """require ["fileinto", "foo"];
fileinto :copy "x";
if header :foo "a" "b" { keep 1; }
elsif size 10 { discard; }
else { stop; }
vacation "x";
"""
    assert [str(error) for error in check(script)] == [
        'line 1, column 22: unknown extension "foo"',
        'line 2, column 10: the tag ":copy" of "fileinto" needs require "copy"',
        'line 3, column 11: "header" takes no tag ":foo"',
        'line 3, column 31: "keep" takes no further argument here',
        'line 4, column 7: "size" needs ":over" or ":under"',
        'line 6, column 1: the command "vacation" needs require "vacation" or "vacation-seconds"',
    ]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ('fileinto "x";', 'the command "fileinto" needs require "fileinto"'),
        ('keep; require "fileinto";', '"require" must come before all other commands'),
        ('if true { require "fileinto"; }', '"require" must come before all other commands'),
        ("nonsense;", 'unknown command "nonsense"'),
        ("if nonsense { }", 'unknown test "nonsense"'),
        ("true;", '"true" is not a command, but a test'),
        ("if keep { }", '"keep" is not a test, but a command'),
        ("else { }", '"else" without an "if" before it'),
        ("keep; elsif true { }", '"elsif" without an "if" before it'),
        ("if true { } else { } else { }", '"else" without an "if" before it'),
        ("if true { } else { } elsif true { }", '"elsif" without an "if" before it'),
        ("if true;", '"if" needs a block in braces'),
        ("if { }", '"if" needs exactly one test'),
        ("if (true, false) { }", '"if" needs exactly one test'),
        ('if "x" true { }', '"if" takes no further argument here'),
        ("if true { } else true { }", '"else" takes no test'),
        ("if not { }", '"not" needs exactly one test'),
        ("if anyof true { }", '"anyof" needs a list of tests in parentheses'),
        ("if true true { }", '"true" takes no test'),
        ("keep { }", '"keep" takes no block'),
        ("stop 1;", '"stop" takes no further argument here'),
        ("redirect;", 'argument 1 of "redirect" is missing: a string is expected'),
        ('redirect ["a@b.example"];', 'argument 1 of "redirect" must be a string'),
        ("redirect 10;", 'argument 1 of "redirect" must be a string'),
        ('redirect "not an address";', '"not an address" is not a mail address'),
        ('redirect "a@b.example, c@d.example";', '"a@b.example, c@d.example" is not a mail address'),
        ('if size :over "x" { }', 'argument 1 of "size" must be a number'),
        ("if size :over :under 1 { }", '":under" can\'t be used together with ":over"'),
        ("if size :over :over 1 { }", 'the tag ":over" is given twice'),
        ("if size 1 :over { }", 'the tag ":over" must come before the other arguments'),
        ('if header :is :contains "a" "b" { }', '":contains" can\'t be used together with ":is"'),
        ('if header :comparator "i;foo" "a" "b" { }', 'unknown comparator "i;foo"'),
        (
            'if header :comparator "i;ascii-numeric" "a" "b" { }',
            'the comparator "i;ascii-numeric" needs require "comparator-i;ascii-numeric"',
        ),
        (
            'require "comparator-i;ascii-numeric";'
            'if header :comparator "i;ascii-numeric" :contains "a" "1" { }',
            ':contains can\'t be used with the comparator i;ascii-numeric',
        ),
        ('if header :value "gt" "a" "1" { }', 'the tag ":value" of "header" needs require "relational"'),
        (
            'require "relational"; if header :value "xx" "a" "1" { }',
            '"xx" is no relation: gt, ge, lt, le, eq and ne are',
        ),
        ('if address "subject" "x" { }', 'the field "subject" holds no addresses'),
        ('require "envelope"; if envelope "body" "x" { }', 'unknown envelope part "body"'),
        (
            'require "envelope"; if envelope "notify" "x" { }',
            'the envelope part "notify" needs require "envelope-dsn"',
        ),
        ('require "fileinto"; fileinto "";', "a mailbox's name can't be empty"),
        ('require "fileinto"; fileinto "a\nb";', "a mailbox's name can't have control characters"),
        ('require "regex"; if header :regex "a" "(" { }', "bad regular expression: missing ): ("),
        (
            'require "regex"; if header :regex "a" "(a)\\\\1" { }',
            "bad regular expression: invalid escape sequence: \\1",
        ),
        ('require "index"; if header :index 0 "a" "b" { }', '":index" counts from 1'),
        ('require "index"; if header :last "a" "b" { }', '":last" needs ":index"'),
        ('require "variables"; set "1a" "x";', '"1a" is not a name for a variable'),
        ('require "variables"; set "a.b" "x";', 'there is no namespace "a" for variables'),
        ('require "variables"; set "a" "${x.y}";', 'there is no namespace "x"'),
        ('require "variables"; set :lower :upper "a" "x";', '":upper" can\'t be used together with ":lower"'),
        ('require "date"; if currentdate "century" "1" { }', 'unknown date part "century"'),
        ('require "date"; if currentdate :zone "CET" "year" "1" { }', '"CET" is no time zone such as "+0100"'),
        ('require "enotify"; notify "xmpp:a@b";', '"xmpp:a@b" is not a mailto: URI, and no other method is there'),
        ('require "vacation"; vacation :days 1 :from "x" "y";', '"x" is not a mail address'),
        (
            'require "vacation"; vacation :seconds 1 "y";',
            'the tag ":seconds" of "vacation" needs require "vacation-seconds"',
        ),
        ('require "foreverypart"; break;', '"break" is for "foreverypart" only'),
        (
            'require "foreverypart"; foreverypart { break :name "x"; }',
            'there is no "foreverypart" with the name "x" around this "break"',
        ),
        ('require "include"; global "x";', '"global" needs require "variables"'),
        ('require ["include","variables"]; include "a${b}";', "the name of an included script can't have variables"),
        ('require "include"; include "../x";', "this can't be the name of a script"),
        ('require "encoded-character"; redirect "${unicode:110000}";', "${unicode:110000} is no character"),
        ('require "encoded-character"; redirect "${hex:ff}";', "${hex:…} makes octets that are not UTF-8"),
        ('require "editheader"; addheader "a b" "c";', '"a b" is not the name of a field'),
        ('require "redirect-dsn"; redirect :ret "X" "a@b.example";', '"X" is not "FULL" or "HDRS"'),
        (
            'require "redirect-deliverby"; redirect :bytrace "a@b.example";',
            '":bytrace" needs ":bytimerelative" or ":bytimeabsolute"',
        ),
        (
            'require ["fileinto","special-use"]; fileinto :specialuse "Junk" "x";',
            '"Junk" is no special use such as "\\Junk"',
        ),
        (
            'require ["vacation","imap4flags"]; vacation :flags "x" "y";',
            '":flags" needs ":fcc"',
        ),
        ('require "mime"; if header :anychild "a" "b" { }', '":anychild" needs ":mime"'),
        ('require "imap4flags"; setflag "a" "b";', '"setflag" takes a variable only with require "variables"'),
    ],
)  # fmt: skip
def test_one_error(script: str, message: str) -> None:
    assert [error.message for error in check(script)] == [message]


def test_errors_are_limited_in_number() -> None:
    assert len(check("nonsense;" * 1000)) == 50


def test_everything_is_announced() -> None:
    for name in [
        "fileinto",
        "envelope",
        "encoded-character",
        "copy",
        "body",
        "environment",
        "variables",
        "vacation",
        "vacation-seconds",
        "relational",
        "imap4flags",
        "subaddress",
        "spamtest",
        "spamtestplus",
        "virustest",
        "date",
        "index",
        "editheader",
        "reject",
        "ereject",
        "enotify",
        "ihave",
        "mailbox",
        "mboxmetadata",
        "servermetadata",
        "foreverypart",
        "mime",
        "replace",
        "enclose",
        "extracttext",
        "envelope-dsn",
        "envelope-deliverby",
        "redirect-dsn",
        "redirect-deliverby",
        "extlists",
        "include",
        "duplicate",
        "special-use",
        "fcc",
        "mailboxid",
        "regex",
        "comparator-i;octet",
        "comparator-i;ascii-casemap",
        "comparator-i;ascii-numeric",
        "comparator-i;unicode-casemap",
    ]:
        assert name in LANGUAGE.capabilities
        assert check(f'require "{name}";') == []


def test_any_case_is_taken() -> None:
    assert check('REQUIRE "fileinto"; IF Header :IS "a" "b" { FileInto "x"; } ELSE { KEEP; }') == []


def test_what_is_kept_can_be_checked() -> None:
    """The same limit on either side: one of them is where this package isn't imported."""
    assert DEFAULT.script_bytes == MAX_SCRIPT_BYTES
