"""A container's health check: exit 0 if /readyz says so. Imports little, since it runs every few seconds."""

import os
import socket
import sys

TIMEOUT = 4.0  # seconds
MAX_ANSWER = 65536  # octets


def main() -> int:
    """Ask; print what keeps the service from being ready."""
    host, _, port = os.environ["PACKETBOAT_HEALTH_LISTEN"].rpartition(":")
    host = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(host, host.strip("[]"))  # noqa: S104 - compared, not bound
    try:
        with socket.create_connection((host, int(port)), TIMEOUT) as connection:
            connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = b""
            while len(answer) < MAX_ANSWER and (more := connection.recv(4096)):
                answer += more
    except OSError as error:
        print(error)
        return 1
    head, _, body = answer.partition(b"\r\n\r\n")
    print(body.decode("utf-8", "replace").strip())
    return 0 if head.split(b" ")[1:2] == [b"200"] else 1


if __name__ == "__main__":
    sys.exit(main())
