"""What kind of file system a path is on."""

from __future__ import annotations

import os
from pathlib import Path

NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "glusterfs", "afs", "lustre"})


def is_on_network(path: Path) -> bool:
    """Say whether other machines may have the files open, too; so FUSE, of which that can't be known."""
    kind = file_system(path)
    return kind in NETWORK or kind.startswith("fuse")


def file_system(path: Path) -> str:
    """Return the type of the file system that holds (or will hold) a path, "" where unknown."""
    place = path.absolute()
    while not place.exists():
        place = place.parent
    target, best, kind = os.path.realpath(place), "", ""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    for line in mounts.splitlines():
        _, mount, name, *_ = line.split(" ")
        mount = mount.replace("\\040", " ")
        if (target == mount or target.startswith(mount.rstrip("/") + "/")) and len(mount) >= len(best):
            best, kind = mount, name
    return kind
