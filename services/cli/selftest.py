"""`packetboat selftest`: a real message through submission, found over IMAP, each hop timed."""

from __future__ import annotations

import asyncio
import imaplib
import secrets
import smtplib
import ssl
import time
from email.message import EmailMessage
from pathlib import Path
from typing import Annotated

import typer

from services.cli.context import DEFAULT_DATA, DataOption, PortBaseOption, database_of, settings_with_ports
from services.cli.up import demo_accounts
from shared.db import Query, Rows, Work
from shared.errors import ConfigurationError

POLL = 0.02  # seconds between looks into the mailbox

_ledger = Query("selftest_ledger", "SELECT entry, at, outcome, detail FROM ledger WHERE message_id = :message_id")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("selftest")(selftest)


def selftest(
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    host: Annotated[str, typer.Option(help="Where the stack listens; as it was started by default.")] = "",
    account: Annotated[str, typer.Option(help="Who sends to itself; a demo account by default.")] = "",
    password_file: Annotated[Path | None, typer.Option(help="File with the account's password.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the message.")] = 30.0,
) -> None:
    """Send a message through submission, wait for it over IMAP, print the time of each hop."""
    settings = settings_with_ports(data, port_base)
    host = host or settings.listen[0]
    user, password = _credentials(data, account, password_file)
    context = _trust(data)
    message_id = f"<selftest.{secrets.token_hex(12)}@packetboat.invalid>"
    began = time.time()
    try:
        _send(host, 587 + settings.port_base, context, user, password, message_id)
        accepted = time.time()
        _wait(host, 993 + settings.port_base, context, user, password, message_id, timeout)
    except smtplib.SMTPAuthenticationError as error:
        raise ConfigurationError(
            f"selftest failed: {user} can't log in ({error.smtp_code}): "
            "name one that can by --account ADDRESS and --password-file FILE"
        ) from None
    except ConnectionRefusedError:
        raise ConfigurationError(
            f"selftest failed: nothing listens on {host}, ports {587 + settings.port_base} and "
            f"{993 + settings.port_base}: start the stack, or say --host and --port-base"
        ) from None
    except (OSError, smtplib.SMTPException, imaplib.IMAP4.error) as error:
        raise ConfigurationError(f"selftest failed: {error}") from None
    found = time.time()
    print(f"accepted by submission   {1000 * (accepted - began):8.1f} ms")
    for row in asyncio.run(_story(data, message_id)):
        print(f"{row['outcome']} (ledger)       {1000 * (row['at'] / 1e6 - began):8.1f} ms  entry {row['entry']}")
    print(f"readable over IMAP       {1000 * (found - began):8.1f} ms")
    print("selftest passed")


def _send(host: str, port: int, context: ssl.SSLContext, user: str, password: str, message_id: str) -> None:
    message = EmailMessage()
    message["From"] = message["To"] = user
    message["Subject"] = "Packetboat selftest"
    message["Message-ID"] = message_id
    message.set_content("This message tests the way from submission to the mailbox.\n")
    with smtplib.SMTP(host, port, timeout=15) as client:
        client.starttls(context=context)
        client.login(user, password)
        client.send_message(message)


def _wait(
    host: str, port: int, context: ssl.SSLContext, user: str, password: str, message_id: str, timeout: float
) -> None:
    deadline = time.monotonic() + timeout
    with imaplib.IMAP4_SSL(host, port, ssl_context=context, timeout=15) as client:
        client.login(user, password)
        client.select("INBOX")
        while time.monotonic() < deadline:
            client.noop()
            _, found = client.search(None, "HEADER", "Message-ID", f'"{message_id}"')
            if found and found[0]:
                _tidy(client, found[0].split()[-1])
                return
            time.sleep(POLL)
    raise ConfigurationError(
        f"selftest failed: accepted, but not in INBOX after {timeout:.0f} s: `packetboat trace {user}` tells more"
    )


def _tidy(client: imaplib.IMAP4, number: bytes) -> None:
    client.store(number.decode("ascii"), "+FLAGS", "(\\Deleted)")
    client.expunge()


def _credentials(data: Path, account: str, password_file: Path | None) -> tuple[str, str]:
    if account and password_file:
        return account, password_file.read_text(encoding="utf-8").strip()
    demo = demo_accounts(data)
    user = account or next(iter(demo), "")
    if account and account not in demo:
        raise ConfigurationError(f"the password of {account} isn't known here: add --password-file FILE")
    if user not in demo:
        raise ConfigurationError("no demo account here: use --account ADDRESS and --password-file FILE")
    return user, demo[user]


def _trust(data: Path) -> ssl.SSLContext:
    """Trust the stack's own certificate, whatever name it is reached by."""
    context = ssl.create_default_context()
    context.check_hostname = False
    own = data / "tls" / "cert.pem"
    if own.exists():
        context.load_verify_locations(own)
    else:
        context.verify_mode = ssl.CERT_NONE
    return context


async def _story(data: Path, message_id: str) -> Rows:
    def read() -> Work[Rows]:
        rows = yield _ledger(message_id=message_id)
        return rows

    async with database_of(data) as database:
        return await database.read(read)
