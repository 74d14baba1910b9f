"""Maildir and mbox, read as other programs write them and written so that nothing is lost."""

from __future__ import annotations

import fcntl
import mailbox
import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.imap.flags import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN, FlagSet
from shared.mailbox import maildir, mbox
from shared.mailbox.loose import Loose, Unusable, decode_level, encode_name, to_unix

MESSAGE = b"From: a@a.test\r\nSubject: x\r\n\r\nhello\r\nFrom here on\r\n>From there\r\n"


def messages(path: Path) -> list[Loose]:
    with mbox.reading(path) as found:
        result = list(found)
    assert all(isinstance(one, Loose) for one in result)
    return result  # type: ignore[return-value]


def write(folder: Path, name: str, data: bytes, sub: str = "cur") -> None:
    for one in maildir.SUBFOLDERS:
        (folder / one).mkdir(parents=True, exist_ok=True)
    (folder / sub / name).write_bytes(data)


# Maildir


def test_folders_of_both_layouts_are_found(tmp_path):
    for folder in (".", ".Work.Old", ".Entw&APw-rfe", ".a&AC4-b", "Lists/python", ".INBOX.Sub", ".broken&"):
        write(tmp_path / folder, "1.x:2,", MESSAGE)
    (tmp_path / "Lists" / "loop").symlink_to(tmp_path)
    names = [folder.name for folder in maildir.folders(tmp_path)]
    assert names == ["INBOX", "Entwürfe", "INBOX/Sub", "Lists/python", "Work/Old", "a.b", "broken&"]


def test_flags_keywords_and_order_are_read(tmp_path):
    write(tmp_path, "20.a:2,RS", MESSAGE)
    write(tmp_path, "3.b,S=5:2,FTPab", MESSAGE.replace(b"\r\n", b"\n"))
    write(tmp_path, "1.c", MESSAGE, "new")
    (tmp_path / maildir.KEYWORDS_FILE).write_text("0 $Label1\n1 not{good\n99 x\n")
    os.utime(tmp_path / "cur" / "20.a:2,RS", (1_000_000_000, 1_000_000_000))
    [folder] = maildir.folders(tmp_path)
    found = [maildir.read(place) for place in maildir.places(folder)]
    assert [one.flags for one in found] == [
        FlagSet(),
        FlagSet(FLAGGED | DELETED, (b"$Forwarded", b"$Label1")),
        FlagSet(ANSWERED | SEEN),
    ]
    assert {one.data for one in found} == {MESSAGE}
    assert found[2].internal_date == 1_000_000_000
    (tmp_path / maildir.UIDS_FILE).write_text("3 V1 N4\n7 :20.a\n9 W3 :1.c\n12 :3.b,S=5\n")
    order = [place.path.name[:2] for place in maildir.places(folder)]
    assert order == ["20", "1.", "3."]


def test_what_cant_be_read_is_told(tmp_path):
    write(tmp_path, "1:2,", b"")
    write(tmp_path, "2:2,", b"a\0b")
    write(tmp_path, "3:2,", MESSAGE)
    places = maildir.places(maildir.Folder("INBOX", tmp_path))
    (tmp_path / "cur" / "3:2,").rename(tmp_path / "cur" / "3:2,S")
    found = [maildir.read(place) for place in places]
    assert [type(one) for one in found] == [Unusable, Unusable, type(None)]
    assert "NUL" in found[1].reason


def test_a_repeated_delivery_takes_the_place_of_the_first(tmp_path):
    maildir.make(tmp_path / "m")
    first = maildir.deliver(tmp_path / "m", "1.u", MESSAGE)
    assert first == tmp_path / "m" / "new" / "1.u"
    assert maildir.deliver(tmp_path / "m", "1.u", MESSAGE) == first
    seen = first.rename(tmp_path / "m" / "cur" / "1.u:2,S")
    before = maildir.find(tmp_path / "m", "1.u")
    assert maildir.deliver(tmp_path / "m", "1.u", b"again", before=before) == seen == before
    assert seen.read_bytes() == b"again"
    assert [p.name for p in (tmp_path / "m" / "new").iterdir()] == []
    with pytest.raises(OSError, match="no Maildir"):
        maildir.find(tmp_path / "other", "1.u")


def test_a_python_program_reads_what_is_delivered(tmp_path):
    maildir.make(tmp_path)
    maildir.deliver(tmp_path, "5.x", to_unix(MESSAGE), info="FS", is_new=False, date=1_000_000_000)
    [message] = mailbox.Maildir(tmp_path)
    assert (message["Subject"], message.get_flags(), message.get_date()) == ("x", "FS", 1_000_000_000)


def test_letters_are_learned_as_far_as_there_are_any(tmp_path):
    names = [b"k%d" % number for number in range(30)]
    letters = maildir.learn_letters(tmp_path, names)
    assert len(letters) == maildir.MAX_LETTERS
    assert maildir.learn_letters(tmp_path, [b"K3", b"new", b"$forwarded"]) == letters
    assert maildir.info_of(FlagSet(SEEN | DRAFT, (b"K3", b"$FORWARDED", b"k29")), letters) == "DPSd"


@given(st.text(st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="/"), min_size=1, max_size=20))
@settings(max_examples=100)
def test_every_name_comes_back(name):
    [level] = encode_name(name)
    assert decode_level(level) == name
    assert "/" not in level
    assert "." not in level


def test_a_long_name_fits_into_a_file_name():
    names = ["/".join(["x" * 120] * 3), "/".join(["x" * 120] * 2 + ["y" * 120])]
    paths = [maildir.folder_path(Path("/m"), name) for name in names]
    assert len({path.name for path in paths}) == 2
    assert all(len(path.name) == 240 for path in paths)


# mbox


def test_an_mbox_of_another_program_is_read(tmp_path):
    path = tmp_path / "mbox"
    box = mailbox.mbox(path)
    for flags in ("RO", "AF", "DT"):
        message = mailbox.mboxMessage("From: a@a.test\nSubject: y\n\ntext\nFrom here\n")
        message.set_flags(flags)
        message.set_from("a@a.test", time.gmtime(1_000_000_000))
        box.add(message)
    box.close()
    found = messages(path)
    assert [one.flags.system for one in found] == [SEEN, ANSWERED | FLAGGED, DELETED | DRAFT]
    assert {one.internal_date for one in found} == {1_000_000_000}
    assert {one.data for one in found} == {b"From: a@a.test\r\nSubject: y\r\n\r\ntext\r\nFrom here\r\n"}
    assert sum(one.advance for one in found) == path.stat().st_size


def test_fields_that_others_keep_are_flags(tmp_path):
    path = tmp_path / "mbox"
    path.write_bytes(
        b"From x Sat Jan  1 10:00:00 2022 +0100\nX-IMAPbase: 1 2\n $a\nSubject: s\nX-Keywords: $Label1 Work,Home \n"
        b"Status: RO\nX-UID: 5\n\nStatus: of the body\n>>From x\n\nFrom now on this isn't a message\n"
    )
    [message] = messages(path)
    assert message.flags == FlagSet(SEEN, (b"$Label1", b"Work", b"Home"))
    assert message.data == (
        b"Subject: s\r\n\r\nStatus: of the body\r\n>From x\r\n\r\nFrom now on this isn't a message\r\n"
    )


@given(
    st.lists(
        st.text("ab:\r\n>From \u00e4", min_size=1, max_size=60).map(lambda text: text.encode().replace(b"\n", b"\r\n")),
        min_size=1,
        max_size=4,
    )
)
@settings(max_examples=150)
def test_every_message_comes_back_byte_for_byte(tmp_path_factory, texts):
    path = tmp_path_factory.mktemp("mbox") / "m.mbox"
    flags = FlagSet(SEEN | FLAGGED, (b"$x",))
    with path.open("wb") as file:
        for uid, text in enumerate(texts, 1):
            own = mbox.own_field(mbox.Mark(7, uid), flags, len(text))
            file.write(mbox.render(text, "s@a.test", 1_000_000_000 + uid, own))
    found = messages(path)
    assert [one.data for one in found] == texts
    assert [one.internal_date for one in found] == [1_000_000_000 + uid for uid in range(1, len(texts) + 1)]
    assert {one.flags for one in found} == {flags}
    assert mbox.first_mark(path) == mbox.Mark(7, 1)
    last = mbox.last_mark(path)
    assert (last and last[0].uid) == (len(texts) - 1 or None)


def test_deliveries_are_appended_once(tmp_path):
    path = tmp_path / "mbox"
    assert mbox.deliver(path, "s@a.test", MESSAGE, token="e1", date=0)
    assert not mbox.deliver(path, "s@a.test", MESSAGE, token="e1", date=0)
    with path.open("ab") as file:
        file.write(b"From x Sat Jan 1 10:00:00 2022\nSubject: half a mess")
    assert mbox.deliver(path, "", MESSAGE, token="e2", date=0)
    found = messages(path)
    assert [MESSAGE in one.data for one in found] == [True, False, True]
    assert not path.with_name("mbox.lock").exists()


def test_locks_of_others_are_respected(tmp_path, monkeypatch):
    monkeypatch.setattr(mbox, "LOCK_SECONDS", 0.1)
    path = tmp_path / "mbox"
    lock = tmp_path / "mbox.lock"
    lock.touch()
    with pytest.raises(mbox.Locked):
        mbox.deliver(path, "", MESSAGE, token="e", date=0)
    os.utime(lock, (0, 0))  # its program died long ago
    assert mbox.deliver(path, "", MESSAGE, token="e", date=0)
    child = os.fork()
    if not child:
        with path.open("r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            (tmp_path / "locked").touch()
            time.sleep(5)
        os._exit(0)
    try:
        while not (tmp_path / "locked").exists():
            time.sleep(0.01)
        with pytest.raises(mbox.Locked):
            mbox.deliver(path, "", MESSAGE, token="f", date=0)
        assert not lock.exists()
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
