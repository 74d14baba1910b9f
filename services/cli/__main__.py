"""`packetboat …`: one command for everything."""

from __future__ import annotations

import asyncio
import sys

import click
import typer

from services.cli import accounts, doctor, queue, selftest, services, trace, up
from shared.errors import ConfigurationError, MailFailure

app = typer.Typer(
    name="packetboat",
    help="A mail stack made of small services: MTA, relay, MDA, IMAP and POP3.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
up.register(app)
services.register(app)
accounts.register(app)
queue.register(app)
trace.register(app)
selftest.register(app)
doctor.register(app)


def main() -> None:
    """Run a command; a person's mistake is one line on standard error and exit status 2."""
    try:
        app(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
    except (ConfigurationError, MailFailure, PermissionError, FileNotFoundError) as error:
        print(f"packetboat: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
