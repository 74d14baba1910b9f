"""The journal's files: listing, sealing for a writer that seems dead, removal, free space."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from shared.durable import sync_folder
from shared.journal.active import make_durable_folder
from shared.journal.errors import RecordUnavailable
from shared.journal.reference import (
    LARGE_FOLDER,
    LARGE_SUFFIX,
    OPEN_SUFFIX,
    SEALED_SUFFIX,
    check_large,
    check_segment,
    large_path,
    open_path,
    sealed_path,
)

COMPACTED_WRITER = "compacted"
MARK_SUFFIX = ".unnamed"
QUARANTINE_FOLDER = "quarantine"
MAX_QUARANTINE = 64 * 1024 * 1024  # bytes kept of one damaged stretch

_DAY = re.compile(r"\d{4}-\d\d-\d\d\Z")
_COPY_PIECE = 1024 * 1024


class FileState(StrEnum):
    """What a segment's suffix says."""

    OPEN = "open"
    SEALED = "sealed"


class SegmentKind(StrEnum):
    """Who wrote a segment: recovery never enqueues from a compacted one."""

    JOURNAL = "journal"
    COMPACTED = "compacted"


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment's file as it was when it was looked at."""

    name: str
    state: FileState
    size: int  # bytes
    modified: float  # Unix time, seconds

    @property
    def kind(self) -> SegmentKind:
        """Who wrote it; its name says so, so that it is known without SQL."""
        return kind_of(self.name)


@dataclass(frozen=True, slots=True)
class LargeBody:
    """A large file as it was when it was looked at."""

    name: str
    size: int  # bytes
    modified: float  # Unix time, seconds
    is_marked: bool  # nothing named it when maintenance last looked


def kind_of(segment: str) -> SegmentKind:
    """Return who wrote a segment."""
    compacted = segment.partition("/")[2].startswith(COMPACTED_WRITER + "-")
    return SegmentKind.COMPACTED if compacted else SegmentKind.JOURNAL


def list_segments(root: Path) -> list[Segment]:
    """Return all segments, oldest day first; a segment being renamed meanwhile may be missing."""
    return sorted(_segments(root), key=lambda segment: segment.name)


def take_over(root: Path, segment: str) -> Segment:
    """Seal a segment whose writer seems dead; a writer that isn't finds itself fenced.

    Renames it, makes that durable, makes the bytes durable, and only then reads the length: what the
    writer saw durable under the old name lies below it. RecordUnavailable if there is no such segment.
    """
    source, target = open_path(root, segment), sealed_path(root, segment)
    # ENOENT: another worker or the writer itself was faster
    with contextlib.suppress(FileNotFoundError):
        os.rename(source, target)
    try:
        sync_folder(target.parent)
        descriptor = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise RecordUnavailable(f"segment {segment} is gone") from error
    try:
        os.fdatasync(descriptor)
        status = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    return Segment(segment, FileState.SEALED, status.st_size, status.st_mtime)


def unlink(root: Path, segment: str) -> None:
    """Remove a segment for good, whatever its state; harmless if it is gone."""
    for path in (open_path(root, segment), sealed_path(root, segment)):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
            sync_folder(path.parent)


def remove_empty_days(root: Path, before: str) -> None:
    """Remove folders of days before `before` (yyyy-mm-dd) that hold nothing any more."""
    for day in _days(root):
        if day.name < before:
            # OSError: not empty, or somebody was faster
            with contextlib.suppress(OSError):
                os.rmdir(day.path)


def quarantine(root: Path, segment: str, offset: int, length: int) -> Path:
    """Copy a damaged stretch of a sealed segment aside, for a person to look at; return where to."""
    folder = root / QUARANTINE_FOLDER
    make_durable_folder(folder)
    target = folder / f"{check_segment(segment).replace('/', '_')}-{offset}.bad"
    with sealed_path(root, segment).open("rb") as source, target.open("wb") as copy:
        source.seek(offset)
        left = min(length, MAX_QUARANTINE)
        while left > 0 and (piece := source.read(min(_COPY_PIECE, left))):
            copy.write(piece)
            left -= len(piece)
        copy.flush()
        os.fsync(copy.fileno())
    sync_folder(folder)
    return target


def list_large(root: Path) -> Iterator[LargeBody]:
    """Yield all large files, those still being written too."""
    for folder in _entries(root / LARGE_FOLDER):
        files = {entry.name: entry for entry in _entries(Path(folder.path))}
        for entry in files.values():
            name, suffix = os.path.splitext(entry.name)
            if suffix == LARGE_SUFFIX:
                with contextlib.suppress(FileNotFoundError, ValueError):
                    status = entry.stat()
                    marked = name + MARK_SUFFIX in files
                    yield LargeBody(check_large(name), status.st_size, status.st_mtime, marked)


def unlink_large(root: Path, large: str) -> None:
    """Remove a large file for good; harmless if it is gone."""
    path = large_path(root, large)
    for file in (path, path.with_suffix(MARK_SUFFIX)):
        with contextlib.suppress(FileNotFoundError):
            file.unlink()
            sync_folder(path.parent)


def mark_large(root: Path, large: str) -> float:
    """Note that nothing names a large file; return since when that is known, in Unix seconds."""
    mark = large_path(root, large).with_suffix(MARK_SUFFIX)
    with contextlib.suppress(FileExistsError):
        mark.touch(exist_ok=False)
    return mark.stat().st_mtime


def unmark_large(root: Path, large: str) -> None:
    """Forget the note: something names the file."""
    large_path(root, large).with_suffix(MARK_SUFFIX).unlink(missing_ok=True)


def free_bytes(root: Path) -> int:
    """Return the bytes that the volume has left for us."""
    status = os.statvfs(root)
    return status.f_bavail * status.f_frsize


def _segments(root: Path) -> Iterator[Segment]:
    for day in _days(root):
        for entry in _entries(Path(day.path)):
            segment = _segment(day.name, entry)
            if segment is not None:
                yield segment


def _segment(day: str, entry: os.DirEntry[str]) -> Segment | None:
    stem, suffix = os.path.splitext(entry.name)
    state = _STATES.get(suffix)
    try:
        if state is None:
            return None
        status = entry.stat()
        return Segment(check_segment(f"{day}/{stem}"), state, status.st_size, status.st_mtime)
    except (ValueError, FileNotFoundError):
        return None  # not one of ours, or renamed since the folder was read


_STATES = {OPEN_SUFFIX: FileState.OPEN, SEALED_SUFFIX: FileState.SEALED}


def _days(root: Path) -> list[os.DirEntry[str]]:
    return sorted((e for e in _entries(root) if _DAY.match(e.name)), key=lambda entry: entry.name)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []
