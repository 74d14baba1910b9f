"""How the C library gives out large buffers: thousands of connections hold some that they hardly touch.

A TLS connection takes buffers of 256 KiB, of which a client that then idles has filled a page or two. From
glibc's heap they leave holes of pages that were touched once between what stays (measured: 51 KiB for each idle
connection); mapped on their own they are gone without a trace (33 KiB). But buffers that come and go all the
time, bodies under FETCH, had better stay on the heap: mapping those costs a page fault for every 4 KiB. So large
buffers are mapped only while TLS connections begin.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable

TLS_BUFFERS = 192 * 1024  # octets from which a buffer is mapped on its own while TLS connections begin
BEGINNING = 1.0  # seconds that a handshake and a login take, mostly
OTHER_BUFFERS = 16 * 1024 * 1024  # the same at other times
KEPT = 32 * 1024 * 1024  # octets at the heap's end that aren't given back

_M_TRIM_THRESHOLD = -1  # malloc.h
_M_MMAP_THRESHOLD = -3


class LargeBuffers:
    """What a process does about them; nothing without glibc."""

    def __init__(self) -> None:
        self._tune = _mallopt()
        self._until: asyncio.TimerHandle | None = None
        if self._tune is not None:
            self._tune(_M_TRIM_THRESHOLD, KEPT)
            self._tune(_M_MMAP_THRESHOLD, OTHER_BUFFERS)

    def tls_begins(self, loop: asyncio.AbstractEventLoop) -> None:
        """Map large buffers until no TLS connection has begun for a while."""
        if self._tune is None:
            return
        if self._until is None:
            self._tune(_M_MMAP_THRESHOLD, TLS_BUFFERS)
        else:
            self._until.cancel()
        self._until = loop.call_later(BEGINNING, self._end)

    def _end(self) -> None:
        self._until = None
        if self._tune is not None:
            self._tune(_M_MMAP_THRESHOLD, OTHER_BUFFERS)


def _mallopt() -> Callable[[int, int], int] | None:
    try:
        function = ctypes.CDLL(None).mallopt
    except AttributeError:
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_int)
    function.restype = ctypes.c_int
    tune: Callable[[int, int], int] = function
    return tune
