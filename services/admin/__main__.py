"""`python -m services.admin`: the operator's API as a service."""

from __future__ import annotations

import sys

from shared import process

process.prepare_metrics()

from services.admin.app import AdminWorker  # noqa: E402 - metrics need their folder first
from services.admin.settings import AdminSettings  # noqa: E402
from shared.config import load_settings  # noqa: E402
from shared.errors import ConfigurationError  # noqa: E402


def main() -> int:
    """Run until SIGTERM; return the exit status."""
    try:
        settings = load_settings(AdminSettings)
        return process.serve("admin", settings, lambda index: AdminWorker(settings, index))
    except ConfigurationError as error:
        print(f"packetboat admin: {error}", file=sys.stderr)
        return process.EXIT_CONFIGURATION


if __name__ == "__main__":
    sys.exit(main())
