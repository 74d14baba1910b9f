"""What all tests have in common."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("packetboat", deadline=None)  # machines are busy; pytest-timeout ends what hangs
settings.load_profile("packetboat")
