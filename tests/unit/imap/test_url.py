"""URLs of messages, as CATENATE takes them."""

from __future__ import annotations

import pytest

from shared.imap.fetch import BodySection, Partial, SectionText
from shared.imap.url import BadUrl, MessageUrl, parse_url

WHOLE = BodySection(b"BODY[]", peek=True)


@pytest.mark.parametrize(
    ("text", "mailbox", "uidvalidity", "uid"),
    [
        (b"/Drafts;UIDVALIDITY=385759045/;UID=30", "Drafts", 385759045, 30),
        (b"/Drafts/;UID=3002", "Drafts", None, 3002),
        (b"/inbox/;uid=7", "INBOX", None, 7),
        (b"/a/b%20c%3B/;UID=7", "a/b c;", None, 7),
        (b"/Entw%C3%BCrfe/;UID=1", "Entw\u00fcrfe", None, 1),
        (b";UID=20", None, None, 20),
    ],
)
def test_messages(text: bytes, mailbox: str | None, uidvalidity: int | None, uid: int) -> None:
    assert parse_url(text) == MessageUrl(mailbox, uidvalidity, uid, WHOLE)


def test_sections() -> None:
    url = parse_url(b"/Drafts;UIDVALIDITY=385759045/;UID=20/;Section=1.2.MIME")
    assert (url.section.path, url.section.text) == ((1, 2), SectionText.MIME)
    url = parse_url(b";UID=20/;SECTION=HEADER.FIELDS%20(From%20To)/;PARTIAL=10.20")
    assert (url.section.text, url.section.fields) == (SectionText.HEADER_FIELDS, (b"From", b"To"))
    assert url.section.partial == Partial(10, 20)
    assert parse_url(b";UID=20/;PARTIAL=5").section.partial == Partial(5, 0xFFFFFFFF)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"INBOX",
        b"/INBOX",
        b"/INBOX/;UID=0",
        b"/INBOX/;UID=9999999999",
        b"imap://user@server/INBOX/;UID=1",
        b"//server/INBOX/;UID=1",
        b"/INBOX/;UID=1/;SECTION=",
        b"/INBOX/;UID=1/;SECTION=0",
        b"/INBOX/;UID=1/;SECTION=1]x[2",
        b"/INBOX/;UID=1/;SECTION=1%5D%3C0.5%3E",
        b"/%FF/;UID=1",
        b"/INBOX/;UID=1;URLAUTH=anonymous",
        b"/" + b"x" * 10_000 + b"/;UID=1",
    ],
)
def test_what_is_no_url_of_a_message(text: bytes) -> None:
    with pytest.raises(BadUrl):
        parse_url(text)
