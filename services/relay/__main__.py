"""`python -m services.relay`: mail to other servers."""

from __future__ import annotations

import sys

from shared.process import prepare_metrics

prepare_metrics()  # before anything imports shared.metrics

from services.relay.app import RelayWorker  # noqa: E402
from services.relay.settings import RelaySettings  # noqa: E402
from shared.config import load_settings  # noqa: E402
from shared.errors import ConfigurationError  # noqa: E402
from shared.process import serve  # noqa: E402


def main() -> int:
    """Run the service; return the exit status."""
    try:
        settings = load_settings(RelaySettings)
        return serve("relay", settings, lambda index: RelayWorker(settings, index))
    except ConfigurationError as error:
        print(f"packetboat relay: {error}", file=sys.stderr)
        return 78


if __name__ == "__main__":
    sys.exit(main())
