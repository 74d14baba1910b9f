"""Asks Pigeonhole's sieve-test and our interpreter the same about one message, and tells where they answer differently.

python -m tests.tools.sieve_peer     (needs Debian's dovecot-sieve)

Tests are asked many at once: each that holds sets a flag of its own. Scripts are asked one by one.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from shared.sieve import Context, Envelope, Message, ScriptError, compile_script, run
from shared.sieve.actions import FileInto, Keep, Redirect
from shared.sieve.describe import name_of

CHUNK = 25  # tests asked in one run
PATIENCE = 30.0  # seconds for one run of sieve-test
SENDER, RECIPIENT = "coyote@desert.example.org", "roadrunner+fast@acme.example.com"
INVALID = "does not compile"

MESSAGE = """\
Received: from a by b; Fri, 2 Feb 2018 22:20:00 -0500
Received: from c by a; Fri, 2 Feb 2018 21:16:09 +0100
From: "Coyote, Wile" <Coyote@desert.example.org>
To: roadrunner+fast@acme.example.com, "Bugs \\"B\\" Bunny" <bugs@EXAMPLE.net>
Cc: friends: daffy@example.net, elmer@example.net;, porky@example.net
Subject: I have a =?utf-8?q?pr=C3=A9sent?= for
 you [x] *50%* \\o/
Date: Fri, 2 Feb 2018 22:15:00 -0500
Message-ID: <4321.1234@desert.example.org>
X-Priority: 3
X-Score: 10
X-Score: 9
X-Empty:
X-Spaces:   a  b\t
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="out"

Prologue here.
--out
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

Caf=C3=A9 au =
lait
--out
Content-Type: text/html; charset=iso-8859-1

<p>Some <b>bold</b> text &amp; more</p>
--out
Content-Type: message/rfc822

Subject: inner one
From: inner@example.org

Inner body
--out
Content-Type: application/octet-stream
Content-Transfer-Encoding: base64
Content-Disposition: attachment; filename="a.bin"

c2VjcmV0
--out--
Epilogue here.
"""

REQUIRES = (
    "body", "comparator-i;ascii-numeric", "date", "encoded-character", "envelope", "environment", "imap4flags", "index",
    "mailbox", "mime", "regex", "relational", "subaddress", "variables", "fileinto", "editheader",
)  # fmt: skip

_PATTERNS = (
    "*", "?*", "I have*", "*you*", "i HAVE a*", "*\\\\\\\\o/", "*\\\\*50%\\\\**", "*[x]*", "*pr\u00e9sent*",
    "*for you*",
    "I?have*", "?", "", "*?", "I have a pr\u00e9sent for you [x] *50%* \\\\\\\\o/", "*\\\\?*", "**", "*for  you*",
)  # fmt: skip
_NUMBERS = ("9", "10", "010", "", "x", "3", "9x", "11")
_TESTS = (
    'address :all "from" "coyote@DESERT.example.org"', 'address :localpart :is "from" "coyote"',
    'address :domain "to" "example.net"', 'address :user "to" "roadrunner"', 'address :detail "to" "fast"',
    'address :detail "from" ""', 'address :comparator "i;octet" "from" "coyote@desert.example.org"',
    'address "cc" "elmer@example.net"', 'address :contains "cc" "friends"', 'address :count "eq" "cc" "3"',
    'address :count "eq" ["to", "cc"] "5"', 'address :matches "to" "*+*@*"', 'address :is "from" "Wile"',
    'header :is "x-empty" ""', 'header :contains "x-empty" ""', 'header :matches "x-empty" "*"', 'header "none" ""',
    'header :contains "none" ""', 'header "x-spaces" "a  b"', 'header :count "eq" "x-score" "2"',
    'header :count "eq" ["x-score", "none", "x-empty"] "3"', 'header :index 1 "x-score" "10"',
    'header :index 1 :last "x-score" "9"', 'header :index 3 "x-score" "9"', 'header :contains "received" "by a"',
    'exists "x-empty"', 'exists ["from", "none"]', "size :over 1K", "size :under 1K", "size :over 0", "size :over 1M",
    'envelope "from" "coyote@desert.example.org"', 'envelope :localpart "to" "roadrunner+fast"',
    'envelope :detail "to" "fast"', 'envelope :user "from" "coyote"', 'envelope :domain :contains "to" "acme"',
    'date "date" "year" "2018"', 'date :originalzone "date" "hour" "22"', 'date :zone "+0000" "date" "hour" "03"',
    'date :zone "+0000" "date" "date" "2018-02-03"', 'date :originalzone "date" "weekday" "5"',
    'date :originalzone "date" "zone" "-0500"', 'date :originalzone "date" "julian" "58151"',
    'date :originalzone "date" "iso8601" "2018-02-02T22:15:00-05:00"',
    'date :originalzone "date" "std11" "Fri, 02 Feb 2018 22:15:00 -0500"',
    'date :originalzone :index 2 "received" "time" "21:16:09"', 'date "none" "year" "2018"',
    'date "subject" "year" "*"',
    'body :contains "Caf\u00e9 au lait"', 'body :text :contains "bold text & more"', 'body :contains "<b>"',
    'body :raw :contains "=C3=A9"', 'body :raw :contains "Prologue"', 'body :contains "Prologue"',
    'body :content "multipart" :contains "Prologue"', 'body :content "multipart" :contains "Epilogue"',
    'body :content "multipart" :contains "--out"', 'body :content "text/html" :contains "<b>"',
    'body :content "text" :contains "Inner body"', 'body :content "message" :contains "inner one"',
    'body :content "application" :contains "secret"', 'body :content "" :contains "secret"',
    'body :content "/html" :contains "b"', 'body :content "text/" :contains "b"', 'body :count "eq" :raw "1"',
    'header :mime :type "content-type" "multipart"', 'header :mime :anychild :subtype "content-type" "html"',
    'header :mime :anychild :param "filename" "content-disposition" "a.bin"',
    'header :mime :anychild :contenttype "content-type" "message/rfc822"', 'header :mime "subject" "inner one"',
    'header :mime :anychild "subject" "inner one"', 'exists :mime :anychild "content-disposition"',
    'address :mime :anychild "from" "inner@example.org"', 'header :regex "subject" "\\\\[x\\\\]"',
    'header :regex "subject" "^i have"', 'header :comparator "i;octet" :regex "subject" "^i have"',
    'string :is "${unicode:e9}" "\u00e9"', 'string "${hex:40}" "@"', 'string "$${hex:40}" "$@"',
    'string "${hex:4g}" "@"',
    'string :matches "a.b.c" "*.*"', 'string "${none}" ""', 'string "${0}" ""', 'string :count "eq" ["a", "", "b"] "2"',
    'string :value "gt" "b" "a"', 'string :value "lt" "a" "B"', 'string "\\a\\"" "a\\""', 'mailboxexists "INBOX"',
    'allof (true, not false)', "anyof (false, false)", "not anyof (true)", "hasflag \"none\"",
    'string "a\nb" text:\na\nb\n.\n',
)  # fmt: skip

SCRIPT_WITH_FIRST = (
    'require ["foreverypart", "variables", "fileinto", "extracttext", "mime"]; foreverypart { if header :mime :subtype'
    ' "content-type" "plain" { extracttext :first 4 "t"; break; } } fileinto "${t}";'
)
SCRIPTS = (
    "", "keep;", "discard;", "keep; discard;", "stop; discard;", 'redirect "a@example.org";', "keep; keep;",
    'require "fileinto"; fileinto "A"; fileinto "A";', 'require ["fileinto", "copy"]; fileinto :copy "A";',
    'require "copy"; redirect :copy "a@example.org"; redirect "a@example.org";', "if true { discard; } else { keep; }",
    'require ["fileinto", "imap4flags"]; setflag "\\\\Seen"; fileinto "A"; addflag "x"; fileinto :flags "y z" "B";',
    'require "imap4flags"; addflag ["a", "B"]; removeflag "b"; keep;', 'require "imap4flags"; keep :flags "";',
    'require ["variables", "fileinto"]; set :length "n" "abc"; fileinto "${n}";',
    'require ["variables", "fileinto"]; if header :matches "from" "*<*@*>" { fileinto "${2}-${3}"; }',
    'require ["variables", "fileinto"]; set :upper :lowerfirst "a" "xyz"; fileinto "${a}${b}";',
    'require ["variables", "fileinto"]; set :quotewildcard "a" "*?"; fileinto "${a}";',
    'require "reject"; reject "no";', 'require ["reject", "fileinto"]; reject "no"; fileinto "A";',
    'require "vacation"; vacation :addresses "bugs@example.net" "away";',
    'require "vacation"; vacation "a"; vacation "b";',
    'require "enotify"; notify "mailto:a@example.org";', 'require "enotify"; notify "ftp:a";',
    'require ["ihave", "fileinto"]; if ihave "vnd.none" { none; } else { fileinto "A"; }', 'require "vnd.none";',
    'require ["foreverypart", "mime", "variables", "fileinto"]; foreverypart { set "n" "${n}i"; } fileinto "${n}";',
    SCRIPT_WITH_FIRST,
    'require ["editheader", "fileinto"]; addheader "X-New" "a"; if header "x-new" "a" { fileinto "A"; }',
    'require ["editheader", "fileinto"]; deleteheader :index 1 "x-score"; if header "x-score" "10" { fileinto "A"; }',
    'require ["editheader", "fileinto"]; deleteheader :contains "x-score" "1"; if header "x-score" "9" {'
    ' fileinto "A"; }',
    "keep", "keep;;", "foo;", "if true keep;", "else {}", "if header {}", 'if header "a" {}', 'if header :is "a" 1 {}',
    'if header :is :contains "a" "b" {}', 'if header "a" "b" :is {}', 'fileinto "A";', "keep :none;", 'keep "x";',
    'if size 1 {}', "if size :over 1x {}", "if size :over :under 1 {}", "if allof {}", "if allof () {}", "if not {}",
    'keep; require "fileinto";', 'require ["fileinto",];', "# x", "/* x */ keep; # y", "/* x", '"x";',
    "if true { keep; ",
    'redirect "none";', 'redirect ["a@b.org"];', 'require "variables"; set "1a" "x";',
    'require "variables"; set "a.b" "x";',
    'require "variables"; set :upper :lower "a" "b";', 'if header :comparator "i;none" "a" "b" {}', "STOP; Discard;",
    'if header :contains :comparator "i;ascii-numeric" "a" "1" {}', 'require "date"; if date "date" "none" "1" {}',
    'require "relational"; if header :value "no" "a" "b" {}', 'require "body"; if body :raw :text "a" {}',
    'require "editheader"; addheader "a b" "c";', 'require "index"; if header :last "a" "b" {}', "break;",
)  # fmt: skip

KEPT = {
    'body :text :contains "bold text & more"': "RFC 5173 §5.3 lets us take markup off whole, entities too",
    'string :value "lt" "a" "B"': "RFC 5228 §2.7.3: i;ascii-casemap by default; Pigeonhole's string has i;octet",
    'require "copy"; redirect :copy "a@example.org"; redirect "a@example.org";': (
        "RFC 5228 §2.10.2: a redirect without :copy cancels the implicit keep, whatever came before"
    ),
    SCRIPT_WITH_FIRST: "RFC 5703 §7: :first counts characters; Pigeonhole cuts within one",
    'require "date"; if date "date" "none" "1" {}': "RFC 5260 §4.1 has no such part: told when the script is checked",
}
"""Differences that stay, and why ours is right."""

# Further deviations of Pigeonhole's own test suite that aren't asked here: ihave tells of "variables" and
# "encoded-character" too (RFC 5463 names no exception that we know), mail addresses in UTF-8 are addresses (RFC 6532),
# an empty address field has no address, a broken Content-Type means text/plain (RFC 2045 §5.2), what includes itself
# is found when it runs, the variables' limits are higher, spamtest's verdict comes from the scanner, not a field.


def tests() -> Iterator[str]:
    """Every test that is asked."""
    yield from _TESTS
    for comparator in ("i;ascii-casemap", "i;octet"):
        for pattern in _PATTERNS:
            for match in ("is", "contains", "matches"):
                yield f'header :{match} :comparator "{comparator}" "subject" "{pattern}"'
    for number in _NUMBERS:
        for relation in ("gt", "ge", "lt", "le", "eq", "ne"):
            yield f'header :value "{relation}" :comparator "i;ascii-numeric" "x-score" "{number}"'
        yield f'header :comparator "i;ascii-numeric" "x-priority" "{number}"'


def ours(script: str) -> list[str]:
    """What our interpreter does."""
    try:
        compiled = compile_script(script)
    except ScriptError:
        return [INVALID]
    message = Message(MESSAGE.replace("\n", "\r\n").encode())
    result = run(compiled, Context(message, Envelope(SENDER, RECIPIENT), datetime.now(UTC)))
    if result.error is not None:
        return ["error"]
    return sorted(_words(action) for action in result.actions)


def _words(action: object) -> str:
    match action:
        case Keep(flags=flags):
            return _stored("INBOX", flags)
        case FileInto(mailbox=mailbox, flags=flags):
            return _stored(mailbox, flags)
        case Redirect(address=address):
            return f"redirect {address}"
        case _:
            return name_of(action)  # type: ignore[arg-type]


def _stored(mailbox: str, flags: Sequence[str] | None) -> str:
    return " ".join([f"store {mailbox}", *sorted(flag.lower() for flag in flags or ())])


class Pigeonhole:
    """sieve-test with a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.chmod(0o777)
        (folder / "message").write_bytes(MESSAGE.replace("\n", "\r\n").encode())
        extensions = "+editheader +vacation-seconds"
        (folder / "dovecot.conf").write_text(
            f"mail_uid=65534\nmail_gid=65534\nfirst_valid_uid=1\nmail_location=maildir:{folder}/mail\nssl=no\n"
            f"plugin {{\n sieve_extensions = {extensions}\n}}\n"
        )

    def __call__(self, script: str) -> list[str]:
        """What it does."""
        path = self.folder / "script.sieve"
        path.write_bytes(script.encode())
        done = subprocess.run(
            ["sieve-test", "-c", str(self.folder / "dovecot.conf"), "-C", "-f", SENDER, "-a", RECIPIENT, "-r",
             RECIPIENT,              str(path), str(self.folder / "message")],
            capture_output=True, timeout=PATIENCE, check=False,
            env={"HOME": str(self.folder), "USER": "nobody", "PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        shown, problems = done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
        if "failed to compile" in problems:
            return [INVALID]
        if "final result: success" not in problems:
            return ["error"]
        return sorted(_parsed(shown))


def _parsed(shown: str) -> list[str]:
    found = list[str]()
    for line in shown.splitlines():
        text = line.strip()
        if text.startswith("* store message in folder: "):
            found.append("store " + text.removeprefix("* store message in folder: "))
        elif text.startswith("+ add IMAP flags:"):
            flags = text.removeprefix("+ add IMAP flags:").replace(",", " ").lower().split()
            found[-1] = " ".join([found[-1], *sorted(flags)])
        elif text.startswith("* redirect message to: "):
            found.append("redirect " + text.removeprefix("* redirect message to: ").strip("<>"))
        elif text.startswith("* discard"):
            found.append("discard")
        elif text.startswith("* reject"):
            found.append("reject")
        elif text.startswith("* send vacation"):
            found.append("vacation")
        elif text.startswith("* send notification"):
            found.append("notify")
    return found


def differences(theirs: Pigeonhole) -> Iterator[tuple[str, list[str], list[str]]]:
    """Each test and script that is answered differently: ours, theirs."""
    asked = list(tests())
    for start in range(0, len(asked), CHUNK):
        chunk = asked[start : start + CHUNK]
        mine = ours(_script(chunk))
        if mine in ([INVALID], ["error"]) or mine != theirs(_script(chunk)):
            yield from _compared([_script([test]) for test in chunk], chunk, theirs)
    yield from _compared(SCRIPTS, SCRIPTS, theirs)


def _compared(
    scripts: Sequence[str], names: Sequence[str], theirs: Pigeonhole
) -> Iterator[tuple[str, list[str], list[str]]]:
    for script, name in zip(scripts, names, strict=True):
        mine, other = ours(script), theirs(script)
        if mine != other:
            yield name, mine, other


def _script(chunk: Sequence[str]) -> str:
    requires = ", ".join(f'"{name}"' for name in REQUIRES)
    checks = "".join(f'if {test} {{ addflag "t{number}"; }}\n' for number, test in enumerate(chunk))
    return f"require [{requires}];\n{checks}keep;\n"


def main() -> int:
    """Print every difference; 1 when there is one that isn't kept."""
    status = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, mine, other in differences(Pigeonhole(Path(folder))):
            why = KEPT.get(name, "")
            print(f"{name}\n    ours   {mine}\n    theirs {other}\n    {why or 'NOT EXPLAINED'}")
            status = status if why else 1
    return status


if __name__ == "__main__":
    sys.exit(main())
