"""Messages as clients, list servers, spammers and gateways really make them: by the rules, and broken in many ways.

`corpus` gives some hundreds, always the same, each with a name.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

SEED = 8474
RANDOM_MESSAGES = 80

BASIC = b"Date: Mon, 7 Feb 1994 21:52:25 -0800\r\nMessage-ID: <b27397@cac.test>\r\n"

ADDRESSES = (
    b"terry@a.test",
    b"Terry Gray <gray@cac.test>",
    b'"Gray, Terry" <gray@cac.test>',
    b"gray@cac.test (Terry Gray)",
    b"(Terry Gray) gray@cac.test",
    b"Terry (the) Gray (or grey) <gray@cac.test> (at home)",
    b"a@a.test, b@b.test,c@c.test , d@d.test",
    b"a@a.test,, ,b@b.test,",
    b",a@a.test",
    b"a@a.test b@b.test",
    b"a@a.test; b@b.test",
    b"<a@a.test> <b@b.test>",
    b"Name a@a.test",
    b"Name <a@a.test",
    b"Name a@a.test>",
    b"Name <<a@a.test>>",
    b"Name <a@a.test>>",
    b"<>",
    b"Name <>",
    b"Name",
    b"First Last",
    b'"First Last"',
    b"a@",
    b"@a.test",
    b"a@b@c.test",
    b"a@[192.0.2.1]",
    b"a@[IPv6:2001:db8::1]",
    b"a b@c.test",
    b'"a b"@c.test',
    b'"a\\"b\\\\c"@c.test',
    b"a . b @ c . test",
    b"a.@c.test",
    b".a@c.test",
    b"a..b@c.test",
    b"<@relay.test:a@a.test>",
    b"Name <@one.test,@two.test:a@a.test>",
    b"undisclosed-recipients:;",
    b"undisclosed-recipients: ;",
    b"A Group:Ed Jones <joe@where.test>,joe@where.test,John <jdoe@one.test>;",
    b"Group: a@a.test, b@b.test",
    b"Group:;, a@a.test",
    b"One: a@a.test;, Two: b@b.test;",
    b"One: a@a.test; Two: b@b.test;",
    b'"Quoted Group": a@a.test;',
    b"a@a.test (unclosed",
    b"a@a.test (nested (comment) here)",
    b"a@a.test (with \\) escape)",
    b'"unclosed <a@a.test>',
    b'"Joe \\"the man\\" Q." <joe@q.test>',
    b"'Joe' <joe@q.test>",
    b"Joe Q. Public <joe@q.test>",
    b"=?utf-8?q?J=C3=B6rg?= <j@q.test>",
    b"=?utf-8?b?SsO2cmc=?=\r\n =?utf-8?b?IE0=?= <j@q.test>",
    b'"=?utf-8?q?J=C3=B6rg?=" <j@q.test>',
    b"J\xc3\xb6rg <j@q.test>",
    b"J\xf6rg <j@q.test>",
    b"j\xc3\xb6rg@q\xc3\xa4.test",
    b"a@a.test\r\n\t,\r\n b@b.test",
    b"Very\r\n  Long\r\n\tName <a@a.test>",
    b"mailto:a@a.test",
    b"a@a.test:25",
    b"[a@a.test]",
    b"a%b@c.test",
    b"a!b!c",
    b"MAILER-DAEMON",
    b"<MAILER-DAEMON>",
    b"root@localhost",
    b"a@a.test <a@a.test>",
    b"a@a.test, <b@b.test> B",
    b"<a@a.test> Name",
    b'"" <a@a.test>',
    b'" " <a@a.test>',
    b'"Tab\there" <a@a.test>',
    b"<a @a.test>",
    b"< a@a.test >",
    b"Name<a@a.test>",
    b'"Name"<a@a.test>',
    b"A <a@a.test>B <b@b.test>",
    b"a@a.test\\",
    b"a\\b@c.test",
    b"\x01\x02 <a@a.test>",
    b"Dr. A. B. C., Jr. <a@a.test>",
    b"a@a.test " * 3,
    b"(only a comment)",
    b"",
    b" ",
)

FIELDS = {
    "no subject": b"",
    "an empty subject": b"Subject:\r\n",
    "a subject of spaces": b"Subject:    \r\n",
    "two subjects": b"Subject: one\r\nSubject: two\r\n",
    "a folded subject": b"Subject: one\r\n two\r\n\tthree\r\n",
    "a subject folded after spaces": b"Subject: one  \r\n   two \t \r\n\t\tthree\r\n",
    "a subject folded at once": b"Subject:\r\n one\r\n",
    "quotes and backslashes": b'Subject: "a" \\b\\ "c\\"\r\n',
    "encoded words": b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= aus =?iso-8859-1?q?K=F6ln?=\r\n",
    "raw utf-8": b"Subject: Gr\xc3\xbc\xc3\x9fe\r\n",
    "raw latin-1": b"Subject: Gr\xfc\xdfe\r\n",
    "a long subject": b"Subject: " + b"long " * 300 + b"\r\n",
    "a long folded subject": b"Subject:" + b"\r\n long" * 300 + b"\r\n",
    "no space after the colon": b"Subject:tight\r\n",
    "a tab after the colon": b"Subject:\ttab\r\n",
    "space before the colon": b"Subject : spaced\r\n",
    "capitals": b"SUBJECT: loud\r\nmessage-id: <other@x.test>\r\n",
    "tabs inside": b"Subject: a\tb\r\n",
    "a brace": b"Subject: {3}\r\n",
    "no date": b"X-Date: none\r\n",
    "two dates": b"Date: Tue, 8 Feb 1994 00:00:00 +0000\r\nSubject: x\r\n",
    "a date with a comment": b"Subject: x\r\nDate: Mon, 7 Feb 1994 (Monday) 21:52:25 GMT\r\n",
    "in-reply-to": b"In-Reply-To: <a@b.test>\r\nSubject: Re: x\r\n",
    "in-reply-to with text": b"In-Reply-To: Your message of Monday <a@b.test>\r\n",
    "several in-reply-to": b"In-Reply-To: <a@b.test>\r\n <c@d.test>\r\n",
    "an empty in-reply-to": b"In-Reply-To:\r\n",
    "a message-id without brackets": b"Message-ID: naked@x.test\r\n",
    "an empty message-id": b"Message-ID:\r\n",
    "a folded message-id": b"Message-ID:\r\n <folded@x.test>\r\n",
    "a message-id with spaces": b"Message-ID: <a b@x.test>\r\n",
    "a message-id and a comment": b"Message-ID: <a@x.test> (added)\r\n",
    "sender": b"From: a@a.test\r\nSender: s@s.test\r\n",
    "an empty sender": b"From: a@a.test\r\nSender:\r\nReply-To:\r\n",
    "a sender that is none": b"From: a@a.test\r\nSender: ,\r\nReply-To: (nobody)\r\n",
    "reply-to": b"From: a@a.test\r\nReply-To: r@r.test, q@q.test\r\n",
    "two froms": b"From: a@a.test\r\nFrom: b@b.test\r\n",
    "two tos": b"To: a@a.test\r\nTo: b@b.test\r\nCc: c@c.test\r\nCc: d@d.test\r\n",
    "bcc": b"Bcc: a@a.test\r\n",
    "no from": b"To: a@a.test\r\n",
    "sender but no from": b"Sender: s@s.test\r\nTo: a@a.test\r\n",
}

HEADERS = {
    "nothing": b"",
    "an empty line": b"\r\n",
    "only text": b"just text\r\n",
    "text and a colon": b"just: text\r\n",
    "only a header": b"Subject: x\r\n",
    "only a header without line end": b"Subject: x",
    "a header and the empty line": b"Subject: x\r\n\r\n",
    "a body without line end": b"Subject: x\r\n\r\nbody",
    "bare LF": b"Subject: x\nTo: a@a.test\n\nbody\nmore\n",
    "mixed line ends": b"Subject: x\r\nTo: a@a.test\n\r\nbody\nmore\r\n",
    "an mbox From line": b"From a@a.test Mon Feb  7 21:52:25 1994\r\nSubject: x\r\n\r\nbody\r\n",
    "a quoted From line": b">From a@a.test Mon Feb  7 21:52:25 1994\r\nSubject: x\r\n\r\nbody\r\n",
    "a line without a colon": b"Subject: x\r\nno field at all\r\nTo: a@a.test\r\n\r\nbody\r\n",
    "a line that begins with a colon": b"Subject: x\r\n: what\r\nTo: a@a.test\r\n\r\nbody\r\n",
    "a continuation first": b" first\r\nSubject: x\r\n\r\nbody\r\n",
    "a line of spaces": b"Subject: x\r\n   \r\nTo: a@a.test\r\n\r\nbody\r\n",
    "a line of a tab": b"Subject: x\r\n\t\r\nTo: a@a.test\r\n\r\nbody\r\n",
    "spaces in the empty line": b"Subject: x\r\n \r\nbody: really\r\n\r\nbody\r\n",
    "CR at a line's end": b"Subject: x\r\r\nTo: a@a.test\r\n\r\nbody\r\n",
    "CR in a value": b"Subject: x\ry\r\nTo: a@a.test\r\n\r\nbody\r\n",
    "a name with spaces": b"Sub ject: x\r\nTo: a@a.test\r\n\r\nbody\r\n",
    "an 8 bit name": b"S\xc3\xbcbject: x\r\nTo: a@a.test\r\n\r\nbody\r\n",
    "an empty name": b":x\r\nTo: a@a.test\r\n\r\nbody\r\n",
    "many fields": b"".join(b"X-%d: y\r\n" % n for n in range(300)) + b"Subject: last\r\n\r\nbody\r\n",
    "a long line": b"Subject: " + b"x" * 5000 + b"\r\n\r\n" + b"y" * 5000 + b"\r\n",
    "long lines without end": b"Subject: x\r\n\r\n" + b"y" * 3000,
    "only LFs": b"\n\n\n",
    "dots": b"Subject: dots\r\n\r\n.\r\n..\r\n",
}

TYPES = (
    b"text/plain",
    b"TEXT/PLAIN; CHARSET=US-ASCII",
    b"Text/HTML; charset=utf-8",
    b'text/plain; charset="utf-8"; format=flowed; delsp=yes',
    b"text/plain;charset=utf-8;",
    b"text/plain;; charset=utf-8",
    b"text/plain; charset",
    b"text/plain; charset=",
    b"text/plain; =utf-8",
    b'text/plain; charset=""',
    b"text/plain; charset=utf-8 format=flowed",
    b"text/plain charset=utf-8",
    b"text/plain, charset=utf-8",
    b"text/plain; charset=utf-8 (unicode)",
    b"(comment) text/plain (comment); (comment) charset = (comment) utf-8",
    b"text / plain",
    b"text/",
    b"/plain",
    b"text",
    b"",
    b"   ",
    b"text/plain/x",
    b"text/x-a+b.c_d",
    b"x-unknown/x-type",
    b"application/octet-stream; name=a.bin",
    b'application/octet-stream; name="a b.bin"',
    b"application/octet-stream; name=a b.bin",
    b'application/octet-stream; name="a\\"b.bin"',
    b'application/octet-stream; name="=?utf-8?q?=C3=A4.bin?="',
    b"application/octet-stream; name=\xc3\xa4.bin",
    b'application/octet-stream; name="\xe4.bin"',
    b"application/octet-stream; name*=utf-8''%C3%A4.bin",
    b"application/octet-stream; name*0=a; name*1=b; name*2=.bin",
    b"application/octet-stream; name*0*=utf-8''%C3%A4; name*1=b.bin",
    b"application/octet-stream; name*1=b; name*0=a",
    b"application/octet-stream; name=a; NAME=b",
    b'application/octet-stream;\r\n\tname="folded.bin"',
    b'application/octet-stream; name="folded\r\n inside.bin"',
    b'application/octet-stream; name="unclosed',
    b"application/pdf; name=a.pdf; x-mac-type=50444620",
    b"image/jpeg",
    b"IMAGE/JPEG; NAME=PHOTO.JPG",
    b"audio/x-wav; name='a b'",
    b"message/rfc822",
    b"message/delivery-status",
    b"message/partial; id=abc; number=1; total=2",
    b"message/external-body; access-type=ANON-FTP; name=x",
    b"message/global",
    b"multipart/mixed",
    b"multipart/mixed; boundary=",
    b'multipart/mixed; boundary=""',
    b"multipart/mixed; boundary=never",
    b"text/plain\r\nContent-Type: text/html",
    b"text/plain; a=b; c=d; e=f; g=h; i=j",
    b"text/plain; charset=us-ascii; charset=utf-8",
    b"text/plain; x=" + b"y" * 2000,
    b"text/html; charset=iso-8859-1; =; ;",
    b"text/calendar; method=REQUEST; component=VEVENT",
    b"text/plain; charset=utf-8\r\n ; format=flowed",
    b"text/pl ain",
    b"text\\plain",
    b"<text/plain>",
    b'"text/plain"',
    b"text/plain\x00; a=b".replace(b"\x00", b""),
)

PART_FIELDS = {
    "attachment": b"Content-Disposition: attachment; filename=a.txt\r\n",
    "inline": b"Content-Disposition: INLINE\r\n",
    "a quoted file name": b'Content-Disposition: attachment; filename="a b.txt"; size=10\r\n',
    "an extended file name": b"Content-Disposition: attachment; filename*=utf-8''%C3%A4.txt\r\n",
    "a continued file name": b"Content-Disposition: attachment; filename*0=a; filename*1=.txt\r\n",
    "an 8 bit file name": b'Content-Disposition: attachment; filename="\xc3\xa4.txt"\r\n',
    "an empty disposition": b"Content-Disposition:\r\n",
    "a disposition without kind": b"Content-Disposition: ; filename=a.txt\r\n",
    "a disposition of a name only": b"Content-Disposition: filename=a.txt\r\n",
    "a file name without quotes": b"Content-Disposition: attachment; filename=a b c.txt\r\n",
    "a folded disposition": b'Content-Disposition: attachment;\r\n\tfilename=a.txt;\r\n modification-date="x"\r\n',
    "two dispositions": b"Content-Disposition: inline\r\nContent-Disposition: attachment\r\n",
    "a language": b"Content-Language: en\r\n",
    "languages": b"Content-Language: en, de (German), fr-CA\r\n",
    "an empty language": b"Content-Language:\r\n",
    "odd languages": b"Content-Language: ,en,,\r\n",
    "a location": b"Content-Location: http://a.test/x y.html\r\n",
    "a folded location": b"Content-Location: http://a.test/\r\n x.html\r\n",
    "md5": b"Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==\r\n",
    "an id": b"Content-ID: <part1@a.test>\r\n",
    "an id without brackets": b"Content-ID: part1@a.test\r\n",
    "an empty id": b"Content-ID:\r\n",
    "a description": b"Content-Description: a (nice) part\r\n",
    "a folded description": b"Content-Description: a\r\n nice\r\n\tpart\r\n",
    "an encoded description": b"Content-Description: =?utf-8?q?=C3=A4?=\r\n",
    "an 8 bit description": b"Content-Description: \xc3\xa4\r\n",
    "base64": b"Content-Transfer-Encoding: base64\r\n",
    "BASE64 in capitals": b"Content-Transfer-Encoding: BASE64\r\n",
    "quoted-printable": b"Content-Transfer-Encoding: Quoted-Printable\r\n",
    "8bit": b"Content-Transfer-Encoding: 8bit\r\n",
    "binary": b"Content-Transfer-Encoding: binary\r\n",
    "an unknown encoding": b"Content-Transfer-Encoding: x-uuencode\r\n",
    "an encoding with a comment": b"Content-Transfer-Encoding: base64 (really)\r\n",
    "an encoding with a semicolon": b"Content-Transfer-Encoding: 7bit;\r\n",
    "an encoding in quotes": b'Content-Transfer-Encoding: "base64"\r\n',
    "an empty encoding": b"Content-Transfer-Encoding:\r\n",
    "two encodings": b"Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64\r\n",
    "an encoding of two words": b"Content-Transfer-Encoding: 7 bit\r\n",
}

PLAIN = b"Content-Type: text/plain\r\n\r\nplain\r\n"
HTML = b"Content-Type: text/html; charset=utf-8\r\n\r\n<p>html</p>\r\n"
INNER = b"From: i@i.test\r\nTo: o@o.test\r\nSubject: inner\r\n\r\ninside\r\n"


def multipart(
    boundary: bytes, *parts: bytes, subtype: bytes = b"mixed", end: bytes = b"--", head: bytes = b""
) -> bytes:
    """A multipart with these parts; each is a header and a body."""
    body = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    field = b'Content-Type: multipart/%b; boundary="%b"\r\n' % (subtype, boundary)
    return head + b"MIME-Version: 1.0\r\n" + field + b"\r\n" + body + b"--" + boundary + end + b"\r\n"


ALTERNATIVE = multipart(b"in", PLAIN, HTML, subtype=b"alternative")

STRUCTURES = {
    "mixed": multipart(b"b", PLAIN, HTML),
    "alternative in mixed": multipart(b"b", ALTERNATIVE, PLAIN),
    "related": multipart(b"b", HTML, b"Content-Type: image/png\r\nContent-ID: <i@a>\r\n\r\nxx\r\n", subtype=b"related"),
    "three levels": multipart(b"b", multipart(b"c", ALTERNATIVE, PLAIN), PLAIN),
    "one part": multipart(b"b", PLAIN),
    "no parts": multipart(b"b"),
    "no parts, no end": b"Content-Type: multipart/mixed; boundary=b\r\n\r\ntext\r\n",
    "no end": multipart(b"b", PLAIN, HTML, end=b""),
    "cut off": multipart(b"b", PLAIN, HTML)[:-20],
    "cut off in a header": multipart(b"b", PLAIN, HTML)[:-45],
    "preamble": b"Content-Type: multipart/mixed; boundary=b\r\n\r\nThis is MIME.\r\n--b\r\n\r\none\r\n--b--\r\n",
    "epilogue": multipart(b"b", PLAIN) + b"after\r\n--b\r\nnot a part\r\n",
    "parts without headers": multipart(b"b", b"\r\none\r\n", b"\r\ntwo\r\n"),
    "parts without the empty line": multipart(b"b", b"Content-Type: text/html", b"text"),
    "empty parts": multipart(b"b", b"", b"", b"\r\n"),
    "parts of a header only": multipart(b"b", b"Content-Type: text/html\r\n", b"Subject: x\r\n\r\n"),
    "a prefix of the boundary": multipart(b"bound", b"\r\n--bound2\r\nx\r\n", PLAIN),
    "the same boundary inside": multipart(b"b", multipart(b"b", PLAIN, HTML), PLAIN),
    "the boundary as a prefix inside": multipart(b"b", multipart(b"bb", PLAIN, HTML), PLAIN),
    "the outer boundary ends the inner": multipart(b"b", multipart(b"c", PLAIN, HTML, end=b""), PLAIN),
    "spaces after the boundary": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b  \r\n\r\none\r\n--b-- \t\r\n",
    "text after the boundary": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b x\r\n\r\none\r\n--b--x\r\n",
    "bare LF between parts": multipart(b"b", PLAIN, HTML).replace(b"\r\n", b"\n"),
    "a boundary with spaces": multipart(b"a b c", PLAIN, HTML),
    "a boundary that ends with a space": multipart(b"a b ", PLAIN),
    "a boundary with specials": multipart(b"=_'()+_,-./:=?", PLAIN, HTML),
    "a boundary without quotes": (
        b"Content-Type: multipart/mixed; boundary=a=b:c\r\n\r\n--a=b:c\r\n\r\none\r\n--a=b:c--\r\n"
    ),
    "a boundary of 70": multipart(b"x" * 70, PLAIN, HTML),
    "a boundary of 200": multipart(b"x" * 200, PLAIN, HTML),
    "dashes": multipart(b"----", PLAIN, HTML),
    "a digest": multipart(b"b", b"\r\n" + INNER, b"\r\n" + INNER, subtype=b"digest"),
    "a digest of plain text": multipart(b"b", b"Content-Type: text/plain\r\n\r\n" + INNER, subtype=b"digest"),
    "a message": b"Content-Type: message/rfc822\r\n\r\n" + INNER,
    "a message in a message": b"Content-Type: message/rfc822\r\n\r\nContent-Type: message/rfc822\r\n\r\n" + INNER,
    "an empty message": b"Content-Type: message/rfc822\r\n\r\n",
    "a message without headers": b"Content-Type: message/rfc822\r\n\r\n\r\ntext\r\n",
    "a message of text only": b"Content-Type: message/rfc822\r\n\r\ntext\r\n",
    "a message in base64": (
        b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nRnJvbTogYUBhLnRlc3QNCg0KeA0K\r\n"
    ),
    "a multipart message": b"Content-Type: message/rfc822\r\n\r\nSubject: outer\r\n" + multipart(b"b", PLAIN, HTML),
    "a message as a part": multipart(b"b", PLAIN, b"Content-Type: message/rfc822\r\n\r\n" + INNER),
    "a multipart message as a part": multipart(
        b"b", PLAIN, b"Content-Type: message/rfc822\r\n\r\n" + multipart(b"c", ALTERNATIVE, PLAIN)
    ),
    "a forwarded attachment": multipart(
        b"b",
        PLAIN,
        b'Content-Type: message/rfc822; name="fwd.eml"\r\nContent-Disposition: attachment; filename="fwd.eml"\r\n\r\n'
        + INNER,
    ),
    "a report": multipart(
        b"b",
        PLAIN,
        b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; a.test\r\n\r\nAction: failed\r\n",
        b"Content-Type: text/rfc822-headers\r\n\r\nSubject: x\r\n",
        subtype=b"report; report-type=delivery-status",
    ),
    "signed": multipart(
        b"b",
        PLAIN,
        b"Content-Type: application/pgp-signature; name=signature.asc\r\n\r\n-----BEGIN\r\n",
        subtype=b'signed; micalg=pgp-sha1; protocol="application/pgp-signature"',
    ),
    "an unknown subtype": multipart(b"b", PLAIN, subtype=b"x-odd"),
    "fields of the multipart": multipart(
        b"b", PLAIN, head=b"Content-Disposition: inline\r\nContent-Language: en\r\nContent-Location: x\r\n"
    ),
    "a multipart in base64": multipart(b"b", PLAIN, head=b"Content-Transfer-Encoding: base64\r\n"),
    "ten parts": multipart(b"b", *[PLAIN] * 10),
    "a hundred parts": multipart(b"b", *[PLAIN] * 100),
    "ten levels": b"",
    "mime without version": b"Content-Type: text/html\r\n\r\n<p>\r\n",
    "a line end before the boundary only": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n\r\n--b--\r\n",
    "a boundary right after the header": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b--\r\n",
    "a boundary in the header's end": b"Content-Type: multipart/mixed; boundary=b\r\n--b\r\n\r\none\r\n--b--\r\n",
    "a nested multipart without boundary": multipart(
        b"b", b"Content-Type: multipart/mixed\r\n\r\n--x\r\n\r\ny\r\n", PLAIN
    ),
    "trailing text in the last part": multipart(b"b", PLAIN, end=b"") + b"Content-Type: text/html\r\n\r\nlast",
    "no line end at the end": multipart(b"b", PLAIN, HTML)[:-2],
    "CR before the boundary": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\r\n--b--\r\n",
    "a boundary in capitals": (
        b"Content-Type: multipart/mixed; boundary=B\r\n\r\n--b\r\n\r\none\r\n--B\r\n\r\ntwo\r\n--B--\r\n"
    ),
    "two boundaries": (
        b"Content-Type: multipart/mixed; boundary=a; boundary=b\r\n\r\n--a\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--a--\r\n"
    ),
    "a boundary in sections": (
        b"Content-Type: multipart/mixed; boundary*0=a; boundary*1=b\r\n\r\n--ab\r\n\r\none\r\n--ab--\r\n"
    ),
}
_levels = PLAIN
for _n in range(10):
    _levels = multipart(b"level%d" % _n, _levels)
STRUCTURES["ten levels"] = _levels


def corpus() -> Iterator[tuple[str, bytes]]:
    """Each message's name and octets."""
    for number, address in enumerate(ADDRESSES):
        name = address.decode("latin-1")[:40]
        field = (b"From", b"To", b"Cc", b"Reply-To")[number % 4]
        yield f"address {number}: {name!r}", BASIC + b"Subject: x\r\n" + field + b": " + address + b"\r\n\r\nbody\r\n"
    for name, fields in FIELDS.items():
        yield f"fields: {name}", fields + BASIC + b"\r\nbody\r\n"
    for name, message in HEADERS.items():
        if message:
            yield f"header: {name}", message
    for number, value in enumerate(TYPES):
        name = value.decode("latin-1")[:40]
        yield f"type {number}: {name!r}", BASIC + b"Content-Type: " + value + b"\r\n\r\nline\r\nline\r\n"
    for name, fields in PART_FIELDS.items():
        yield f"part: {name}", BASIC + b"Content-Type: text/plain\r\n" + fields + b"\r\nbGluZQ==\r\n"
        part = b"Content-Type: application/octet-stream\r\n" + fields + b"\r\nbGluZQ==\r\n"
        yield f"inner part: {name}", multipart(b"b", PLAIN, part)
    for name, message in STRUCTURES.items():
        yield f"structure: {name}", b"Subject: x\r\n" + message
    chance = random.Random(SEED)
    for number in range(RANDOM_MESSAGES):
        yield f"random {number}", random_message(chance)


def random_message(chance: random.Random) -> bytes:
    """Fields and structures thrown together, some of it cut, doubled or with an octet changed."""
    fields = [BASIC]
    fields += chance.sample(list(FIELDS.values()), 2)
    for name in chance.sample([b"From", b"To", b"Cc", b"Sender", b"Reply-To"], 3):
        fields.append(name + b": " + chance.choice(ADDRESSES) + b"\r\n")
    chance.shuffle(fields)
    message = b"".join(fields) + random_body(chance, 3)
    for _ in range(chance.randrange(3)):
        place = chance.randrange(len(message))
        match chance.randrange(4):
            case 0:
                message = message[:place] + chance.choice((b'"', b"(", b";", b"\\", b"\r\n", b"--")) + message[place:]
            case 1:
                message = message[:place] + message[place + chance.randrange(20) :]
            case 2:
                message = message[: place + 30] + message[place:]
            case 3:
                message = message[: max(place, 100)]
    return message


# What is read otherwise than Dovecot reads it (docs/imap-fidelity.md) would make a random message differ too
_NO_TYPES = (5, 8, 10, 11, 12, 16, 17, 18, 19, 20, 21, 26, 38, 42, 48, 49, 50, 51, 55, 56, 59, 60, 61, 62)
_NO_FIELDS = ("an empty disposition", "a disposition without kind", "a file name without quotes", "odd languages")
_ORDINARY_TYPES = [value for number, value in enumerate(TYPES) if number not in _NO_TYPES]
_ORDINARY_FIELDS = [fields for name, fields in PART_FIELDS.items() if name not in _NO_FIELDS]


def random_body(chance: random.Random, depth: int) -> bytes:
    """The MIME fields and the body of a part."""
    kind = chance.randrange(4) if depth else 0
    fields = chance.choice(_ORDINARY_FIELDS)
    if kind == 0:
        return (
            b"Content-Type: "
            + chance.choice(_ORDINARY_TYPES)
            + b"\r\n"
            + fields
            + b"\r\n"
            + b"text\r\n" * chance.randrange(4)
        )
    if kind == 1:
        return fields + b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n" + random_body(chance, depth - 1)
    boundary = b"=_%d %08x" % (depth, chance.getrandbits(32))
    parts = [random_body(chance, depth - 1) for _ in range(chance.randrange(1, 4))]
    return multipart(boundary, *parts, head=fields)
