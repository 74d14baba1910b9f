"""`packetboat …`: one command for everything."""

from __future__ import annotations

import asyncio
import importlib
import sys

import typer

from shared.errors import PacketboatError

COMMANDS = {  # module → its commands; only the module of the command that is run is imported
    "up": ("up",),
    "init": ("init", "secrets"),
    "restored": ("restored",),
    "services": ("mta", "relay", "mda", "access", "admin"),
    "accounts": ("domain", "account", "alias"),
    "mailboxes": ("mailbox", "acl"),
    "transfer": ("import", "export"),
    "targets": ("target",),
    "retention": ("retention", "undelete"),
    "queue": ("queue",),
    "trace": ("trace",),
    "tokens": ("token", "audit"),
    "selftest": ("selftest",),
    "doctor": ("doctor",),
    "sieve": ("sieve",),
    "filters": ("filters",),
    "quarantine": ("quarantine",),
}


def make_app(command: str = "") -> typer.Typer:
    """Return the application with one command, or with all of them when there is none of this name."""
    app = typer.Typer(
        name="packetboat",
        help="A mail stack made of small services: MTA, relay, MDA, IMAP and POP3.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_nothing)  # else typer takes a module's only command for the whole application
    for module in [module for module, commands in COMMANDS.items() if command in commands] or COMMANDS:
        importlib.import_module(f"services.cli.{module}").register(app)
    return app


def _nothing() -> None:
    """A mail stack made of small services: MTA, relay, MDA, IMAP and POP3."""


_WRONG_PATH = (PermissionError, FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError)


def main() -> None:
    """Run a command and exit; a person's mistake is said on standard error, with exit status 2."""
    try:
        make_app(sys.argv[1] if len(sys.argv) > 1 else "")()  # tells of wrong options itself, and exits
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
    except PacketboatError as error:
        print(f"packetboat: {error}", file=sys.stderr)
        sys.exit(2)
    except _WRONG_PATH as error:
        print(
            f"packetboat: {error.filename}: {error.strerror}" if error.filename else f"packetboat: {error}",
            file=sys.stderr,
        )
        sys.exit(2)


if __name__ == "__main__":
    main()
