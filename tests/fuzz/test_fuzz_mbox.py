"""Any octets are an mbox or none, any names a Maildir: nothing is lost silently, nothing raises."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.mailbox import maildir, mbox
from shared.mailbox.loose import Loose

SEEDS = (
    b"From x Sat Jan  1 10:00:00 2022\nSubject: a\nStatus: RO\nX-Keywords: $a b\n\ntext\n>From y\n\n",
    b"From MAILER-DAEMON Sat Jan  1 10:00:00 2022\nX-Packetboat: 7 9 24 RF $x\nSubject: b\r\n\r\ntext\r\n\n",
    b"From nobody\nStatus:\n O\n\n\nFrom x\n\n",
)
PIECES = (b"\n", b"\r\n", b"\n\nFrom ", b"X-Packetboat: 1 2 3\n", b"Status: ", b"\0", b">", b" 10:00 2022", b"9" * 30)
NAMES = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=("Cs",)), min_size=1, max_size=15)
FAST = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    data = b"".join(draw(st.lists(st.sampled_from(SEEDS), min_size=1, max_size=3)))
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, len(data)))
        piece = draw(st.one_of(st.sampled_from(PIECES), st.binary(max_size=8)))
        data = data[:place] + piece + data[place + draw(st.integers(0, 5)) :]
    return data


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mbox"


@FAST
@given(data=st.one_of(mutated(), st.binary(max_size=200).map(lambda data: b"From " + data)))
def test_every_octet_belongs_to_a_message(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with mbox.reading(path) as messages:
        found = list(messages)
    if data.startswith(b"From "):
        assert sum(one.advance for one in found) == len(data)
    mbox.first_mark(path)
    last = mbox.last_mark(path)
    assert last is None or last[1] <= len(data)


@FAST
@given(data=mutated(), message=st.binary(min_size=1, max_size=60).filter(lambda data: b"\0" not in data))
def test_what_is_appended_to_anything_can_be_read(path: Path, data: bytes, message: bytes) -> None:
    path.write_bytes(data)
    text = b"Subject: mine\r\n\r\n" + message.replace(b"\r", b"").replace(b"\n", b"\r\n") + b"\r\n"
    assert mbox.deliver(path, "a@a.test", text, token="entry", date=1_000_000_000)
    with mbox.reading(path) as messages:
        found = [one for one in messages if isinstance(one, Loose)]
    assert any(one.data.endswith(text) for one in found)


@settings(FAST, max_examples=25)
@given(names=st.lists(NAMES, max_size=4))
def test_any_names_are_folders_and_messages(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    root = tmp_path_factory.mktemp("maildir")
    for name in names:
        if name in (".", "..") or (root / f".{name}").exists():
            continue
        (root / f".{name}" / "cur").mkdir(parents=True)
        (root / f".{name}" / "cur" / f"m{name}:2,{name}").write_bytes(b"Subject: x\n\n")
    for folder in maildir.folders(root):
        assert all(isinstance(maildir.read(place), Loose) for place in maildir.places(folder))
