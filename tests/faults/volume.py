"""Small volumes that tests fill, make read-only or cut off from their power, mounted by root."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def small_volume(path: Path, megabytes: int) -> Iterator[Path]:
    """Mount a tmpfs of so many megabytes; skips (or fails where all is required) without root."""
    if os.geteuid() != 0:
        missing("root, to mount a small volume")
    path.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "packetboat-test", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


@contextlib.contextmanager
def disk_volume(image: Path, path: Path, megabytes: int = 0) -> Iterator[Path]:
    """Mount an image as a disk, made anew with so many megabytes; skips (or fails where all is required) without root.

    The image has what was written to the disk, as after a power cut: a copy of it lacks what only is in memory yet.
    """
    if os.geteuid() != 0:
        missing("root, to mount a disk")
    if shutil.which("mkfs.ext4") is None:
        missing("mkfs.ext4 (e2fsprogs)")
    if megabytes:
        with image.open("wb") as file:
            file.truncate(megabytes << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    path.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-o", "loop", image, path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def remount(path: Path, *, readonly: bool) -> None:
    """Make a mounted volume read-only or writable again."""
    subprocess.run(["mount", "-o", f"remount,{'ro' if readonly else 'rw'}", path], check=True)


def missing(what: str) -> None:
    """Skip a test that the machine can't run, or fail it where nothing may be missing."""
    if os.environ.get("PACKETBOAT_REQUIRE_ALL") == "1":
        pytest.fail(f"needs {what}: required here, and missing")
    pytest.skip(f"needs {what}")
