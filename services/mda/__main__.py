"""`python -m services.mda`: the mda as a service."""

from __future__ import annotations

import sys

from shared import process

process.prepare_metrics()

from services.mda.app import MdaWorker  # noqa: E402 - metrics need their folder first
from services.mda.settings import MdaSettings  # noqa: E402
from shared.config import load_settings  # noqa: E402
from shared.errors import ConfigurationError  # noqa: E402
from shared.filters.configuration import load_scanners  # noqa: E402


def main() -> int:
    """Run until SIGTERM; return the exit status."""
    try:
        settings = load_settings(MdaSettings)
        load_scanners(settings.scanner_file)  # a mistake in it is better told once than by each worker
        return process.serve("mda", settings, lambda index: MdaWorker(settings, index))
    except ConfigurationError as error:
        print(f"packetboat mda: {error}", file=sys.stderr)
        return process.EXIT_CONFIGURATION


if __name__ == "__main__":
    sys.exit(main())
