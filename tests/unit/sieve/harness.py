"""Runs a script on a message in memory, and shows what came of it in one line an action."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from shared.sieve import Context, Envelope, Message, Result, compile_script, run
from shared.sieve.describe import describe

NOW = datetime(2026, 11, 23, 14, 30, 5, tzinfo=UTC)
MESSAGE = b"""From: "Coyote, Wile" <coyote@desert.example.org>
To: roadrunner+fast@acme.example.com, "Bugs" <bugs@example.net>
Cc: Daffy <daffy@example.net>
Subject: I have a =?utf-8?q?pr=C3=A9sent?= for you
Date: Fri, 2 Feb 2018 22:15:00 -0500
Message-ID: <4321.1234@desert.example.org>
X-Priority: 3
Received: from c by b; Fri, 2 Feb 2018 22:20:00 -0500
Received: from a by c; Fri, 2 Feb 2018 22:16:00 -0500

Look, I'm sorry about the whole anvil thing.
""".replace(b"\n", b"\r\n")


def result(script: str, message: bytes = MESSAGE, *, envelope: Envelope | None = None, **context: Any) -> Result:
    """What a script decides."""
    sent = envelope or Envelope("coyote@desert.example.org", "roadrunner+fast@acme.example.com")
    context.setdefault("now", NOW)
    return run(compile_script(script), Context(Message(message), sent, **context), traced=True)


def actions(script: str, message: bytes = MESSAGE, **context: Any) -> list[str]:
    """The actions in words; an error is the last of them."""
    found = result(script, message, **context)
    words = [describe(action) for action in found.actions]
    return [*words, f"error: {found.error.message}"] if found.error else words


def holds(test: str, *required: str, message: bytes = MESSAGE, before: str = "", **context: Any) -> bool:
    """Whether a test is true."""
    names = ", ".join(f'"{name}"' for name in required)
    requires = f"require [{names}];" if required else ""
    found = result(f"{requires}{before} if {test} {{ discard; }}", message, **context)
    assert found.error is None, found.error
    return not found.implicit_keep
