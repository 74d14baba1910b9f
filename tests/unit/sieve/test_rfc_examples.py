"""The examples that the RFCs give: each compiles, and does to a fitting message what its text says."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from shared.sieve import NamedLists, NamedMailboxes, check
from tests.unit.sieve.harness import NOW, actions


class Example(NamedTuple):
    """A script out of an RFC, a message for it as its lines, and what becomes of it."""

    place: str
    script: str
    message: str
    outcome: list[str]


KEEP = ["implicit keep"]
TO = "To: roadrunner+fast@acme.example.com\n"

EXAMPLES = [
    Example(
        "5228 §2.4.2 text",
        'require "reject"; reject text:\nIt\'s nice that you wrote.\n..\nBye\n.\n;',
        "From: a@example.com\n",
        ['reject: "It\'s nice that you wrote.\\r\\n.\\r\\nBye\\r\\n"'],
    ),
    Example(
        "5228 §2.4.2.4 encoded characters",
        'require ["encoded-character", "fileinto"]; if header :is "x" "$@" { fileinto "b"; }'
        ' if header :is "x" ["${hex:24 24}", "$${hex:40}", "${hex: 40 }"] { fileinto "a"; }',
        "X: $@\n",
        ['file into "b"', 'file into "a"'],
    ),
    Example(
        "5228 §2.4.2.4 unicode",
        'require ["encoded-character", "fileinto"]; fileinto "${unicode:40}${unicode: 41  42}${HEX:43 44}";',
        "X: y\n",
        ['file into "@ABCD"'],
    ),
    Example(
        "5228 §2.7.2 header names",
        'if header :contains ["to", "cc"] ["me@example.com", "me00@landru.example.com"] { discard; }',
        "Cc: Me00@Landru.Example.COM\n",
        ["discard"],
    ),
    Example(
        "5228 §3.1 if, elsif, else",
        'require "fileinto"; if header :contains "from" "coyote" { discard; }'
        ' elsif header :contains ["subject"] ["$$$"] { discard; } else { fileinto "INBOX"; }',
        "From: x@example.com\nSubject: $$$ MONEY\n",
        ["discard"],
    ),
    Example(
        "5228 §4.1 fileinto",
        'require "fileinto"; if header :contains ["from"] "coyote" { fileinto "INBOX.harassment"; }',
        "From: coyote@desert.example.org\n",
        ['file into "INBOX.harassment"'],
    ),
    Example("5228 §4.3 keep", "if size :under 1M { keep; } else { discard; }", "From: x@example.com\n", ["keep"]),
    Example(
        "5228 §4.4 discard",
        'if header :contains ["from"] ["idiot@example.com"] { discard; }',
        "From: Idiot <idiot@example.com>\n",
        ["discard"],
    ),
    Example(
        "5228 §5.1 address",
        'if address :is :all "from" "tim@example.com" { discard; }',
        "From: Tim <Tim@Example.com>\n",
        ["discard"],
    ),
    Example(
        "5228 §5.4 envelope",
        'require "envelope"; if envelope :all :is "from" "coyote@desert.example.org" { discard; }',
        "From: x@example.com\n",
        ["discard"],
    ),
    Example("5228 §5.5 exists", 'if not exists ["From", "Date"] { discard; }', "From: x@example.com\n", ["discard"]),
    Example(
        "5228 §5.7 header :is",
        'if header :is ["X-Caffeine"] [""] { discard; }',
        "X-Caffeine: C8H10N4O2\n",
        KEEP,
    ),
    Example(
        "5228 §5.7 contains nothing", 'if header :contains "X-Caffeine" "" { discard; }', "X-Caffeine:\n", ["discard"]
    ),
    Example(
        "5228 §9 extended example",
        'require ["fileinto"]; if header :is "Sender" "owner-ietf-mta-filters@imc.org" { fileinto "filter"; }'
        ' elsif address :DOMAIN :is ["From", "To"] "example.com" { keep; }'
        ' elsif anyof (NOT address :all :contains ["To", "Cc", "Bcc"] "me@example.com",'
        ' header :matches "subject" ["*make*money*fast*", "*university*dipl*mas*"]) { fileinto "spam"; }'
        ' else { fileinto "personal"; }',
        "From: stef@desert.example.org\nTo: me@example.org\nSubject: make money fast\n",
        ['file into "spam"'],
    ),
    Example(
        "3894 §3 copy",
        'require ["copy", "fileinto"]; fileinto :copy "incoming"; redirect :copy "a@example.com"; ',
        "X: y\n",
        ['file into "incoming" (copy)', "redirect to <a@example.com> (copy)", "implicit keep"],
    ),
    Example(
        "5173 §5.2 body :content",
        'require ["body", "fileinto"]; if body :content "text" :contains ["missile", "coordinates"]'
        ' { fileinto "secrets"; }',
        "X: y\nContent-Type: text/html\n\nthe missile\n",
        ['file into "secrets"'],
    ),
    Example(
        "5173 §5.1 body :raw",
        'require "body"; if body :raw :contains "MAKE MONEY FAST" { discard; }',
        "X: y\n\nmake money fast\n",
        ["discard"],
    ),
    Example("5173 §4 no body", 'require "body"; if body :raw :contains "" { discard; }', "X: y\n", KEEP),
    Example(
        "5229 §3 substitution",
        'require ["variables", "fileinto"]; set "company" "ACME";'
        ' fileinto "&%${}!,${a?b},${doh!},${${COMPANY}},${President, ${Company} Inc.}";',
        "X: y\n",
        ['file into "&%${}!,${a?b},${doh!},${ACME},${President, ACME Inc.}"'],
    ),
    Example(
        "5229 §3.2 match variables",
        'require ["fileinto", "variables"]; if header :matches "List-ID" "*<*@*"'
        ' { fileinto "INBOX.lists.${2}"; stop; }',
        "List-ID: IETF <ietf@example.org>\n",
        ['file into "INBOX.lists.ietf"'],
    ),
    Example(
        "5229 §3.2 two matches",
        'require ["fileinto", "variables"]; if header :matches "Subject" "[*] *" { set "s" "${1}";'
        ' if address :matches ["To", "Cc"] ["coyote@**.com", "wile@**.com"]'
        ' { fileinto "INBOX.business.${2}"; stop; } else { fileinto "${s}:${1}:${2}"; } }',
        "Subject: [acme-users] [fwd] version 1.0 is out\nTo: coyote@ACME.Example.COM\n",
        ['file into "INBOX.business.ACME.Example"'],
    ),
    Example(
        "5229 §4.1 modifiers",
        'require ["variables", "fileinto"]; set "a" "juMBlEd lETteRS"; set :length "b" "${a}"; set :lower "c" "${a}";'
        ' set :upperfirst "d" "${a}"; set :upperfirst :lower "e" "${a}"; set :quotewildcard "f" "Rock*";'
        ' fileinto "${b}/${c}/${d}/${e}/${f}";',
        "X: y\n",
        ['file into "15/jumbled letters/JuMBlEd lETteRS/Jumbled letters/Rock\\\\*"'.replace("\\\\", "\\")],
    ),
    Example(
        "5229 §5 string",
        'require "variables"; set "state" "${state} pending";'
        ' if string :matches " ${state} " "* pending *" { discard; }',
        "X: y\n",
        ["discard"],
    ),
    Example(
        "5231 §7 count and value",
        'require ["relational", "comparator-i;ascii-numeric", "fileinto"];'
        ' if header :value "lt" :comparator "i;ascii-numeric" ["x-priority"] ["3"] { fileinto "Priority"; }'
        ' elsif address :count "gt" :comparator "i;ascii-numeric" ["to"] ["5"] { fileinto "SPAM"; }'
        ' elsif address :count "gt" :all :comparator "i;ascii-numeric" ["to", "cc"] ["3"] { fileinto "many"; }',
        "X-Priority: 4\nTo: a@e.org, b@e.org\nCc: c@e.org, d@e.org\n",
        ['file into "many"'],
    ),
    Example(
        "5232 §3 flags",
        'require ["fileinto", "imap4flags"]; addflag "\\\\Deleted"; addflag "\\\\Answered"; addflag ["$MDNRequired"];'
        ' removeflag "\\\\Answered"; fileinto "INBOX.From Boss";',
        "X: y\n",
        ['file into "INBOX.From Boss" with flags \\Deleted $MDNRequired'],
    ),
    *[
        Example(
            f"5232 §4 hasflag {test}",
            'require ["imap4flags", "variables", "relational", "comparator-i;ascii-numeric"];'
            ' set "MyVar" "NonJunk Junk gnus-forward $Forwarded NotJunk JunkRecorded $Junk $NotJunk";'
            f" if hasflag {test} {{ discard; }}",
            "X: y\n",
            ["discard"] if holds else KEEP,
        )
        for test, holds in [
            (':contains "MyVar" "Junk"', True),
            (':contains "MyVar" ["label", "forward"]', True),
            (':contains "MyVar" "junk forward"', True),
            (':contains "MyVar" "forward junk"', True),
            (':contains "MyVar" "label"', False),
            (':contains "MyVar" ["label1", "label2"]', False),
            (':count "ge" :comparator "i;ascii-numeric" "MyVar" "2"', True),
        ]
    ],
    Example(
        "5233 §4 subaddress",
        'require ["envelope", "subaddress", "fileinto"]; if envelope :detail "to" "fast" { fileinto "lists"; }'
        ' if address :user :is "to" "roadrunner" { fileinto "mine"; } if envelope :detail "from" "" { discard; }',
        TO,
        ['file into "lists"', 'file into "mine"'],
    ),
    Example(
        "5260 §4 date",
        'require ["date", "relational", "fileinto"]; if allof (header :is "from" "boss@example.com",'
        ' date :value "ge" :originalzone "date" "hour" "09", date :value "lt" :originalzone "date" "hour" "17")'
        ' { fileinto "urgent"; }',
        "From: boss@example.com\nDate: Tue, 5 Nov 2024 10:00:00 -0800\n",
        ['file into "urgent"'],
    ),
    Example(
        "5260 §5 currentdate",
        'require ["date", "relational", "fileinto"]; if anyof (currentdate :is "weekday" "0",'
        ' currentdate :is "weekday" "6", currentdate :value "lt" "hour" "09") {} else { fileinto "business"; }',
        "X: y\n",
        ['file into "business"'],
    ),
    Example(
        "5260 §6 index",
        'require ["date", "relational", "index", "variables", "fileinto"];'
        ' if date :value "gt" :index 2 :zone "-0500" "received" "iso8601" "2007-02-26T09:00:00-05:00"'
        ' { fileinto "late"; }',
        "Received: a; Mon, 26 Feb 2007 08:00:00 -0500\nReceived: b; Mon, 26 Feb 2007 10:00:00 -0500\n",
        ['file into "late"'],
    ),
    Example(
        "5293 §4 and §5 editheader",
        'require ["editheader", "variables", "fileinto"]; addheader "X-Sieve-Filtered" "<kim@job.example.com>";'
        ' deleteheader :index 1 :contains "Delivered-To" "bob@example.com"; if exists "delivered-to" { discard; }'
        ' if header :is "X-Sieve-Filtered" "<kim@job.example.com>" { fileinto "x"; }',
        "Delivered-To: bob@example.com\n",
        ['file into "x"'],
    ),
    Example(
        "5429 §2.1 ereject",
        'require "ereject"; if address "from" "someone@example.com" { ereject "I no longer accept mail."; }',
        "From: someone@example.com\n",
        ["ereject: 'I no longer accept mail.'"],
    ),
    Example(
        "5435 §3 notify",
        'require ["enotify", "fileinto", "variables"]; if header :contains "from" "boss@example.org"'
        ' { notify :importance "1" :message "This is probably very important" "mailto:alm@example.com"; stop; }',
        "From: boss@example.org\n",
        ["notify mailto:alm@example.com", "implicit keep"],
    ),
    Example(
        "5435 §6 encodeurl",
        'require ["enotify", "variables", "fileinto"]; set :encodeurl "body_param" "Safe body&evil=evilbody";'
        ' fileinto "${body_param}";',
        "X: y\n",
        ['file into "Safe%20body%26evil%3Devilbody"'],
    ),
    Example(
        "5463 §4 ihave",
        'require ["ihave", "fileinto"]; if ihave "date" { if currentdate :is "year" "2026" { fileinto "now"; } }'
        ' if not ihave "vnd.none" { keep; } if ihave "vnd.none" { none_such "x"; }',
        "X: y\n",
        ['file into "now"', "keep"],
    ),
    Example(
        "5490 §3 mailbox",
        'require ["fileinto", "mailbox", "reject"]; if mailboxexists "Partners"'
        ' { fileinto "Partners"; } else { fileinto :create "New"; }',
        "X: y\n",
        ['file into "New" (create)'],
    ),
    Example(
        "5703 §4 mime",
        'require ["mime", "fileinto"]; if header :mime :type "Content-Type" "image" { fileinto "images"; }',
        "Content-Type: image/png\n",
        ['file into "images"'],
    ),
    Example(
        "5703 §3 foreverypart",
        'require ["foreverypart", "fileinto", "mime"]; foreverypart { if allof (header :mime :param "filename"'
        ' :contains "Content-Disposition" "important", header :mime :subtype "Content-Type" "pdf")'
        ' { fileinto "INBOX.important"; break; } }',
        "Content-Type: application/pdf\nContent-Disposition: attachment; filename=important.pdf\n",
        ['file into "INBOX.important"'],
    ),
    Example(
        "6009 §3 envelope-dsn",
        'require ["envelope", "envelope-dsn"]; if envelope "notify" "SUCCESS" { discard; }',
        "X: y\n",
        KEEP,
    ),
    Example(
        "6134 §2.7 extlists",
        'require ["envelope", "extlists", "fileinto"]; if envelope :list "from" ":addrbook:default"'
        ' { fileinto "known"; }',
        "X: y\n",
        ['file into "known"'],
    ),
    Example(
        "7352 §3 duplicate",
        'require "duplicate"; if duplicate { discard; }',
        "Message-ID: <a@example.com>\n",
        ["remember this message for 604800 s to find duplicates", "implicit keep"],
    ),
    Example(
        "8579 §4 special-use",
        'require ["fileinto", "special-use"]; fileinto :specialuse "\\\\Junk" "Spam";',
        "X: y\n",
        ['file into "Spam" (special use \\Junk)'],
    ),
    Example(
        "9042 §4 mailboxid",
        'require ["fileinto", "mailboxid"]; fileinto :mailboxid "F6352ae03" "INBOX.name";',
        "X: y\n",
        ['file into "INBOX.name" (mailbox id F6352ae03)'],
    ),
]

VALID = [
    'require ["vacation"]; vacation :days 23 :addresses ["tjs@example.edu", "ts4z@landru.example.edu"] "I\'m away.";',
    'require "vacation"; vacation :mime text:\nContent-Type: multipart/alternative; boundary=foo\n\n--foo\n\nhi\n.\n;',
    'require ["vacation", "variables"]; if header :matches "subject" "*"'
    ' { vacation :subject "Automatic response to: ${1}" "I\'m away -- send mail to foo in my absence"; }',
    'require "vacation"; vacation :handle "ran-away" "I\'m out";',
    'require ["vacation-seconds"]; vacation :addresses ["tjs@example.edu"] :seconds 1800 "I am in a meeting.";',
    'require ["spamtest", "fileinto", "relational", "comparator-i;ascii-numeric"];'
    ' if spamtest :value "ge" :comparator "i;ascii-numeric" "3" { fileinto "INBOX.spam-trap"; }',
    'require ["spamtestplus", "relational", "comparator-i;ascii-numeric"];'
    ' if spamtest :percent :value "ge" :comparator "i;ascii-numeric" "37" { stop; }',
    'require ["virustest", "relational", "comparator-i;ascii-numeric"];'
    ' if virustest :value "eq" :comparator "i;ascii-numeric" "5" { discard; }',
    'require ["servermetadata", "fileinto"]; if servermetadata :contains "/shared/a" "x" { fileinto "a"; }',
    'require ["mboxmetadata"]; if metadata :is "INBOX" "/private/vendor/vendor.isode/auto-replies" "on" { stop; }',
    'require ["environment", "variables"]; if environment :matches "remote-host" "*.example.com" { set "i" "t"; }',
    'require ["include"]; include :personal "always_allow"; include :global :once :optional "spam_tests"; return;',
    'require ["variables", "include"]; global "test"; global ["a", "b"]; set "global.c" "x";',
    'require ["vacation", "fcc", "mailbox", "imap4flags"];'
    ' vacation :fcc "INBOX.Sent" :create :flags ["\\\\Seen"] "Gone";',
    'require ["redirect-dsn", "redirect-deliverby", "copy"]; redirect :copy :notify "FAILURE" :ret "FULL"'
    ' :bytimerelative 3600 :bymode "return" "a@example.com";',
    'require ["foreverypart", "mime", "replace"]; foreverypart { if header :mime :type "Content-Type" "audio"'
    " { replace :mime text:\nContent-Type: text/plain\n\ngone\n.\n; } }",
    'require ["enclose"]; enclose :subject "Warning" :headers ["From"] text:\nvirus\n.\n;',
    'require ["mime", "variables", "extracttext", "foreverypart"]; foreverypart'
    ' { if header :mime :contenttype :is "Content-Type" "text/html" { extracttext :first 100 "msg"; break; } }',
    'require ["regex", "variables"]; if header :regex "subject" "^\\\\[([a-z]+)\\\\]" { set :quoteregex "x" "${1}"; }',
    'require ["duplicate", "variables"]; if duplicate :seconds 1800 :last :handle "x" :uniqueid "y" { discard; }',
]

INVALID = [
    'if header :is :contains "a" "b" {}',
    'if header :comparator "i;none" "a" "b" {}',
    'fileinto "x";',
    'require "fileinto"; keep; require "copy";',
    'require "variables"; set "${a}" "b";',
    "if anyof () {}",
    "if size 100 {}",
    "keep",
    "else { keep; }",
    'require "body"; if body :raw :text "x" {}',
    'require ["enotify"]; notify :options "none" "mailto:a@example.com";',
    "/* no end",
    'redirect "nobody";',
    'require ["relational"]; if header :value "xx" "a" "1" {}',
    'if header :contains :comparator "i;ascii-numeric" "a" "1" {}',
]


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.place for example in EXAMPLES])
def test_an_example_does_what_its_text_says(example: Example) -> None:
    message = example.message.replace("\n", "\r\n")
    if "\r\n\r\n" not in message and "no body" not in example.place:
        message += "\r\nHello.\r\n"
    found = actions(
        example.script,
        message.encode(),
        mailboxes=NamedMailboxes(["INBOX"]),
        lists=NamedLists({":addrbook:default": ["coyote@desert.example.org"]}),
        now=NOW,
    )
    assert found == example.outcome


@pytest.mark.parametrize("script", VALID)
def test_a_valid_script_compiles(script: str) -> None:
    assert check(script) == []


@pytest.mark.parametrize("script", INVALID)
def test_an_invalid_script_does_not(script: str) -> None:
    assert check(script)
