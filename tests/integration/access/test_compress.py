"""COMPRESS=DEFLATE over the wire, alone, within TLS, under IDLE, and with clients that flush as they like."""

from __future__ import annotations

import zlib

import pytest

from tests.integration.access.conftest import ALICE, PASSWORDS, RunningAccess
from tests.integration.access.messages import HELLO
from tests.integration.access.wire import Client
from tests.tools.certificates import trusting_context


class Compressed:
    """A client's compression on top of a connection that is up."""

    def __init__(self, client: Client, flush: int = zlib.Z_SYNC_FLUSH) -> None:
        self.client = client
        self._deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
        self._inflate = zlib.decompressobj(-15)
        self._flush = flush
        self._lines = b""
        self.received = 0  # octets on the wire

    def send(self, data: bytes) -> None:
        self.client.send(self._deflate.compress(data) + self._deflate.flush(self._flush))

    def until(self, tag: bytes) -> bytes:
        """All lines up to the tagged one."""
        while b"\r\n" + tag + b" " not in b"\r\n" + self._lines or not self._lines.endswith(b"\r\n"):
            data = self.client.socket.recv(65536)
            assert data
            self.received += len(data)
            self._lines += self._inflate.decompress(data)
        lines, self._lines = self._lines, b""
        return lines

    def last(self) -> bytes:
        """The last lines that come compressed; what follows is left in the socket."""
        data = b""
        while not data.endswith(b"\x00\x00\xff\xff"):  # where a flush ends
            data += self.client.socket.recv(1) or pytest.fail("closed within compressed lines")
        return self._inflate.decompress(data)

    def ask(self, text: bytes) -> bytes:
        self.send(b"c " + text + b"\r\n")
        return self.until(b"c")


def compressed(client: Client, flush: int = zlib.Z_SYNC_FLUSH) -> Compressed:
    assert client.command("COMPRESS DEFLATE") == ([], b"OK DEFLATE active")
    return Compressed(client, flush)


@pytest.mark.parametrize("flush", [zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH, zlib.Z_PARTIAL_FLUSH])
def test_commands_and_literals(access: RunningAccess, flush: int) -> None:
    client = compressed(access.log_in(), flush)
    message = HELLO + b"0123456789abcdef\r\n" * 20_000
    for number in range(1, 4):
        answer = client.ask(b"APPEND INBOX {%d+}\r\n%b" % (len(message), message))
        assert b"APPENDUID 1 %d" % number in answer
    client.received = 0
    answer = client.ask(b"FETCH 1:* BODY.PEEK[]")
    assert answer.count(message) == 3
    assert client.received < len(answer) / 4
    assert client.ask(b"COMPRESS DEFLATE") == b"c NO [COMPRESSIONACTIVE] DEFLATE is active already\r\n"
    assert b"* BYE" in client.ask(b"LOGOUT")


def test_many_small_commands_refer_back_to_earlier_ones(access: RunningAccess) -> None:
    """The decompressor that is made again between commands knows what came before."""
    client = compressed(access.log_in())
    for number in range(50):
        answer = client.ask(b'LIST "" a-name-that-every-command-has-%d' % (number % 3))
        assert answer == b"c OK LIST completed\r\n"


def test_octet_by_octet(access: RunningAccess) -> None:
    client = compressed(access.log_in())
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    for octet in deflate.compress(b"c NOOP\r\nd NOOP\r\n") + deflate.flush(zlib.Z_SYNC_FLUSH):
        client.client.send(bytes((octet,)))
    assert client.until(b"d") == b"c OK Completed\r\nd OK Completed\r\n"


def test_idle(access: RunningAccess) -> None:
    client = compressed(access.log_in())
    client.send(b"i IDLE\r\n")
    access.deliver(HELLO)
    client.client.socket.settimeout(5)
    received = b""
    while b"* 1 EXISTS\r\n" not in received:
        received += client._inflate.decompress(client.client.socket.recv(4096))
    client.send(b"DONE\r\n")
    assert client.until(b"i").endswith(b"i OK IDLE completed\r\n")


def test_within_tls(access: RunningAccess) -> None:
    client = access.connect()
    assert client.command("STARTTLS")[1].startswith(b"OK")
    client.socket = trusting_context().wrap_socket(client.socket)
    client.file = client.socket.makefile("rb")
    client.ok(f"LOGIN {ALICE} {PASSWORDS[ALICE]}")
    inner = compressed(client)
    assert b"c OK" in inner.ask(b"SELECT INBOX")


def test_it_ends_with_unauthenticate(access: RunningAccess) -> None:
    """RFC 8437 §4.1: what follows in the same packet is plain again."""
    client = compressed(access.log_in())
    deflate = client._deflate
    octets = deflate.compress(b"c UNAUTHENTICATE\r\n") + deflate.flush(zlib.Z_SYNC_FLUSH)
    client.client.send(octets + f"d LOGIN {ALICE} {PASSWORDS[ALICE]}\r\n".encode())
    assert client.last().startswith(b"c OK")
    assert client.client.line().startswith(b"d OK")
    assert b"c OK" in compressed(client.client).ask(b"NOOP")


def test_garbage_and_an_end_of_the_stream(access: RunningAccess) -> None:
    client = compressed(access.log_in())
    client.client.send(b"\xff\xff\xff\xff not deflate")
    assert client.client.is_closed()
    client = compressed(access.log_in())
    client.client.send(client._deflate.compress(b"c NOOP\r\n") + client._deflate.flush(zlib.Z_FINISH))
    assert b"c OK" in client.until(b"c")
    assert client.client.is_closed()


def test_a_bomb_is_decompressed_piece_by_piece(access: RunningAccess) -> None:
    """50 MB of one line in 50 KB: refused like any line that is too long, and nothing of it is kept."""
    client = compressed(access.log_in())
    deflate = client._deflate
    line = deflate.compress(b"c " + b"x" * 50_000_000 + b"\r\n") + deflate.flush(zlib.Z_SYNC_FLUSH)
    client.client.send(line)
    assert client.until(b"c") == b"c BAD Line too long\r\n"
    assert b"d OK" in (client.send(b"d NOOP\r\n"), client.until(b"d"))[1]


def test_an_idle_connection_holds_little(access: RunningAccess) -> None:
    client = compressed(access.log_in())
    client.ask(b"NOOP")
    [connection] = access.worker.desk.connections
    compression = connection._session.compression  # type: ignore[attr-defined]
    assert compression.deflater._stream is None
    assert compression.inflater._stream is None
    assert len(compression.inflater._history) < 100
