"""Variables, their match variables and modifiers (RFC 5229), and what regular expressions set."""

from __future__ import annotations

import pytest

from shared.sieve import Limits
from tests.unit.sieve.harness import actions, holds, result


def value(script: str, *required: str, name: str = "x", **context: object) -> str:
    names = ", ".join(f'"{n}"' for n in ("variables", "fileinto", *required))
    found = result(f'require [{names}]; {script} fileinto "[${{{name}}}]";', **context)
    assert found.error is None, found.error
    return found.actions[-1].mailbox[1:-1]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        # RFC 5229 §3, with company set to ACME
        ("&%${}!", "&%${}!"),
        ("${doh!}", "${doh!}"),
        ("${company}", "ACME"),
        ("${COMPANY}", "ACME"),
        ("${BAD${Company}", "${BADACME"),
        ("${President, ${Company} Inc.}", "${President, ACME Inc.}"),
        ("${company", "${company"),
        ("${unset}", ""),
        ("${1}", ""),
        ("${company}${company}", "ACMEACME"),
        ("$company", "$company"),
    ],
)
def test_references(text: str, expanded: str) -> None:
    assert value(f'set "company" "ACME"; set "x" "{text}";') == expanded


@pytest.mark.parametrize(
    ("modifiers", "text", "expected"),
    [
        ("", "juMBlEd lETteRS", "juMBlEd lETteRS"),
        (":length", "juMBlEd lETteRS", "15"),
        (":lower", "juMBlEd lETteRS", "jumbled letters"),
        (":upperfirst", "juMBlEd lETteRS", "JuMBlEd lETteRS"),
        (":upperfirst :lower", "juMBlEd lETteRS", "Jumbled letters"),
        (":lower :upperfirst", "juMBlEd lETteRS", "Jumbled letters"),
        (":quotewildcard", "Rock*", "Rock\\*"),
        (":quotewildcard :length", "a*?", "5"),
        (":upper", "é", "É"),
    ],
)
def test_modifiers(modifiers: str, text: str, expected: str) -> None:
    assert value(f'set {modifiers} "x" "{text}";') == expected


def test_match_variables() -> None:
    script = 'if header :matches "subject" "* have ? *" { set "x" "${0}|${1}|${2}|${3}|${4}"; }'
    assert value(script) == "I have a présent for you|I|a|présent for you|"


def test_the_last_match_that_succeeds_counts() -> None:
    script = """
    if header :matches "subject" "I*" { }
    if header :matches "subject" "nothing*" { }
    if not header :matches "x-priority" "?" { }
    set "x" "${1}";
    """
    assert value(script) == "3"


def test_wildcards_take_as_little_as_they_can() -> None:
    message = b"X-V: frop...frop!frop\r\n\r\n"
    script = 'if header :matches "x-v" "*frop*frop*" { set "x" "<${1}><${2}><${3}>"; }'
    assert value(script, message=message) == "<><...><!frop>"


def test_case_of_matched_text_is_kept() -> None:
    assert value('if header :matches "from" "*WILE*<*>" { set "x" "${2}${3}"; }') == '" coyote@desert.example.org'


def test_unicode_captures() -> None:
    script = 'if header :matches :comparator "i;unicode-casemap" "subject" "*PRÉS*for*" { set "x" "${2}${3}"; }'
    assert value(script, "comparator-i;unicode-casemap") == "ent  you"


def test_body_sets_no_match_variables() -> None:
    assert (
        value('if header :matches "x-priority" "*" { } if body :matches "*anvil*" { } set "x" "${1}";', "body") == "3"
    )


@pytest.mark.parametrize(
    ("test", "outcome"),
    [
        ('string "${x}" "abc"', True),
        ('string :matches "${x}" "a?c"', True),
        ('string ["a", "${x}"] ["${x}"]', True),
        ('string :count "eq" ["", "${x}", "${none}"] "1"', True),
        ('string :contains "abc" "${none}"', True),
        ('header :contains "subject" "${subject}"', True),
        ('header :matches "subject" "${pattern}*"', True),
        ('header :is "x-priority" "${three}"', True),
        ('header "${field}" "3"', True),
    ],
)
def test_variables_in_tests(test: str, outcome: bool) -> None:
    before = (
        'set "x" "abc"; set "subject" "présent"; set "pattern" "i have"; set "three" "3"; set "field" "X-priority";'
    )
    assert holds(test, "variables", "relational", before=before) is outcome


def test_limits() -> None:
    assert value('set "x" "abcdef";', limits=Limits(variable_length=4)) == "abcd"
    script = 'require "variables";' + "".join(f'set "v{n}" "x";' for n in range(300))
    assert actions(script) == ["implicit keep", "error: a script may set 256 variables"]
    doubling = 'require "variables"; set "a" "0123456789abcdef";' + 'set "a" "${a}${a}";' * 40 + 'redirect "${a}";'
    assert actions(doubling, limits=Limits(variable_length=1 << 30))[1].startswith("error: a string is longer than")


def test_regular_expressions() -> None:
    script = 'if header :regex "from" "([a-z]+)@([a-z.]+)" { set "x" "${0}|${1}|${2}"; }'
    assert value(script, "regex") == "coyote@desert.example.org|coyote|desert.example.org"
    assert holds('header :regex "subject" "^i HAVE"', "regex")
    assert not holds('header :regex :comparator "i;octet" "subject" "^i HAVE"', "regex")
    assert value('set :quoteregex "x" "a.b*[c]";', "regex") == r"a\.b\*\[c\]"


def test_a_bad_expression_made_of_variables_is_an_error() -> None:
    script = 'require ["regex", "variables"]; set "p" "("; if header :regex "subject" "${p}" { discard; }'
    assert actions(script) == ["implicit keep", "error: bad regular expression: missing ): ("]


def test_no_expression_takes_long() -> None:
    message = b"X-V: " + b"a" * 60_000 + b"\r\n\r\n"
    assert not holds('header :regex "x-v" "(a+)+b"', "regex", message=message)
    assert not holds('header :matches "x-v" "*a*a*a*a*a*a*a*a*b?"', message=message)
    assert not holds('header :matches "x-v" "*a*a*a*a*a*a*a*a*b"', message=message)
    script = 'require "regex";' + 'if header :regex "x-v" "a{200}b" { keep; }' * 20
    found = actions(script, message, limits=Limits(work=1_000_000))
    assert found == ["implicit keep", "error: more than 1000000 characters were compared or copied"]


def test_encoded_characters() -> None:
    """RFC 5228 §2.4.2.4."""
    for text, expected in [
        ("$${hex:40}", "$@"),
        ("${hex: 40 }", "@"),
        ("${HEX: 40}", "@"),
        ("${hex:40", "${hex:40"),
        ("${hex:400}", "${hex:400}"),
        ("${hex:4${hex:30}}", "${hex:40}"),
        ("${unicode:40}", "@"),
        ("${ unicode:40}", "${ unicode:40}"),
        ("${UNICODE:40}", "@"),
        ("${UnICoDE:0000040}", "@"),
        ("${hex:c3}${hex: a9}", "é"),
        ("${Unicode:Cool}", "${Unicode:Cool}"),
        ("${hex:24 24}", "$$"),
    ]:
        found = result(f'require ["encoded-character", "fileinto"]; fileinto "{text}";')
        assert found.actions[0].mailbox == expected  # type: ignore[union-attr]
