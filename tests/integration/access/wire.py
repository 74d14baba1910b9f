"""A client that shows every octet: lines as the server sent them."""

from __future__ import annotations

import re
import socket
import time

TIMEOUT = 10.0
_LITERAL = re.compile(rb"\{(\d+)\}\r\n\Z")


class Client:
    """A blocking connection; commands get tags of their own."""

    def __init__(self, port: int, *, receive_buffer: int = 0) -> None:
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(TIMEOUT)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")
        self.greeting = b""
        self._tag = 0

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def line(self) -> bytes:
        """The next response, its literals included, without the last CRLF; b"" at the end."""
        whole = b""
        while True:
            line = self.file.readline()
            whole += line
            literal = _LITERAL.search(line)
            if literal is None:
                return whole.removesuffix(b"\r\n")
            whole += self.file.read(int(literal[1]))

    def command(self, text: str | bytes) -> tuple[list[bytes], bytes]:
        """Send a command; its untagged responses, and the tagged one without its tag."""
        self._tag += 1
        tag = b"t%d" % self._tag
        self.send(tag + b" " + (text if isinstance(text, bytes) else text.encode()) + b"\r\n")
        return self.until(tag)

    def until(self, tag: bytes) -> tuple[list[bytes], bytes]:
        untagged = []
        while True:
            line = self.line()
            if line.startswith(tag + b" "):
                return untagged, line[len(tag) + 1 :]
            assert line, f"closed after {untagged[-3:]}"
            untagged.append(line)

    def ok(self, text: str | bytes) -> list[bytes]:
        """Send a command that has to succeed; its untagged responses."""
        untagged, status = self.command(text)
        assert status.startswith(b"OK"), status
        return untagged

    def append(self, message: bytes, mailbox: str = "INBOX", flags: str = "") -> bytes:
        """APPEND with a non-synchronising literal; the tagged response."""
        text = f"APPEND {mailbox} {flags}".encode().rstrip() + b" {%d+}\r\n" % len(message) + message
        return self.command(text)[1]

    def is_closed(self, within: float = TIMEOUT) -> bool:
        """Whether the server ends the connection in time, whatever it sends before."""
        self.socket.settimeout(within)
        end = time.monotonic() + within
        try:
            while time.monotonic() < end:
                if not self.socket.recv(65536):
                    return True
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False
        return False

    def close(self) -> None:
        self.file.close()
        self.socket.close()
