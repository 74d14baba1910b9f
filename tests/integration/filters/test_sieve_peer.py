"""Our Sieve against Pigeonhole's: the same scripts and tests on one message, every difference explained."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from tests.tools.daemons import needs
from tests.tools.sieve_peer import KEPT, Pigeonhole, differences


def test_pigeonhole_answers_the_same() -> None:
    needs("sieve-test")
    with TemporaryDirectory() as folder:  # where the user that sieve-test becomes may go
        found = {name: (mine, theirs) for name, mine, theirs in differences(Pigeonhole(Path(folder)))}
    assert {name: both for name, both in found.items() if name not in KEPT} == {}
    assert set(KEPT) <= set(found)  # what isn't different any more needs no explanation
