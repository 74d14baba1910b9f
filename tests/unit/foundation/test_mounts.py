"""Which file system a path is on, by what the kernel tells of its mounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.mounts import file_system, is_on_network

MOUNTS = """\
/dev/vda / ext4 rw 0 0
server:/mail /mail nfs4 rw 0 0
tmpfs /mail/local\\040disk tmpfs rw 0 0
cloud /cloud fuse.s3fs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind", "on_network"),
    [
        ("/srv/mail", "ext4", False),
        ("/mail/journal", "nfs4", True),
        ("/mailbox", "ext4", False),
        ("/mail/local disk/journal", "tmpfs", False),
        ("/cloud", "fuse.s3fs", True),
    ],
)
def test_the_innermost_mount_counts(path: str, kind: str, on_network: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda self, **how: MOUNTS)
    monkeypatch.setattr(Path, "exists", lambda self: True)
    assert (file_system(Path(path)), is_on_network(Path(path))) == (kind, on_network)


def test_without_mounts_nothing_is_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(self: Path, **how: str) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    assert file_system(tmp_path) == "" and not is_on_network(tmp_path)
