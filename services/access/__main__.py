"""`python -m services.access`: IMAP and POP3 as a service."""

from __future__ import annotations

import sys

from shared import process

process.prepare_metrics()

from services.access.app import AccessWorker  # noqa: E402 - metrics need their folder first
from services.access.settings import AccessSettings  # noqa: E402
from shared.config import load_settings  # noqa: E402
from shared.db import read_ahead  # noqa: E402
from shared.directory.verified import VerifiedPasswords  # noqa: E402
from shared.errors import ConfigurationError  # noqa: E402
from shared.filters.configuration import load_scanners  # noqa: E402


def main() -> int:
    """Run until SIGTERM; return the exit status."""
    try:
        settings = load_settings(AccessSettings)
        load_scanners(settings.scanner_file)  # a mistake in it is better told once than by each worker
        read_ahead(settings.sql)  # here, where nobody opens it
        verified = VerifiedPasswords()  # before the workers are forked: they share it
        return process.serve("access", settings, lambda index: AccessWorker(settings, index, verified=verified))
    except ConfigurationError as error:
        print(f"packetboat access: {error}", file=sys.stderr)
        return process.EXIT_CONFIGURATION


if __name__ == "__main__":
    sys.exit(main())
