"""The large buffers of TLS connections are mapped on their own, those that come and go aren't."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import asyncio, ctypes, sys
from services.access import memory

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = (ctypes.c_size_t,)
libc.free.argtypes = (ctypes.c_void_p,)
libc.free(libc.malloc(1 << 20))  # from here on glibc would take less than this from its heap
buffers = [libc.malloc(256 * 1024) for _ in range(50)]

def on_heap():
    buffers = [libc.malloc(256 * 1024) for _ in range(50)]
    heap = next(line for line in open("/proc/self/maps") if line.endswith("[heap]\\n")).split()[0]
    low, high = (int(number, 16) for number in heap.split("-"))
    return sum(low <= buffer < high for buffer in buffers)

async def main():
    memory.BEGINNING = 0.01
    large = memory.LargeBuffers()
    before = on_heap()
    large.tls_begins(asyncio.get_running_loop())
    large.tls_begins(asyncio.get_running_loop())
    meanwhile = on_heap()
    await asyncio.sleep(0.02)
    print(before, meanwhile, on_heap())

asyncio.run(main())
"""


def test_large_buffers_are_mapped_while_a_tls_connection_begins() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    before, meanwhile, after = map(int, done.stdout.split())
    # a few may still find room at the heap's end
    assert before > 40
    assert meanwhile < 10
    assert after > 40
