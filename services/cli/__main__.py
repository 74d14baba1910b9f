"""`packetboat …`: one command for everything."""

from __future__ import annotations

import asyncio
import sys

import typer

from services.cli import accounts, doctor, init, queue, selftest, services, sieve, tokens, trace, up
from shared.errors import ConfigurationError, MailFailure

app = typer.Typer(
    name="packetboat",
    help="A mail stack made of small services: MTA, relay, MDA, IMAP and POP3.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
up.register(app)
init.register(app)
services.register(app)
accounts.register(app)
queue.register(app)
trace.register(app)
tokens.register(app)
selftest.register(app)
doctor.register(app)
sieve.register(app)


_WRONG_PATH = (PermissionError, FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError)


def main() -> None:
    """Run a command and exit; a person's mistake is said on standard error, with exit status 2."""
    try:
        app()  # tells of wrong options itself, and exits
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
    except (ConfigurationError, MailFailure, *_WRONG_PATH) as error:
        print(f"packetboat: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
