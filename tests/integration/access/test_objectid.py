"""EMAILID and THREADID are found again by SEARCH, and kept by COPY (RFC 8474)."""

from __future__ import annotations

import re

from tests.integration.access.conftest import RunningAccess
from tests.integration.access.messages import HELLO

OTHER = HELLO.replace(b"<hello@b.test>", b"<other@b.test>")
_IDS = re.compile(rb"EMAILID \(([^)]+)\) THREADID \(([^)]+)\)")


def test_ids_are_searched_and_copied(access: RunningAccess) -> None:
    access.deliver(HELLO, OTHER)
    client = access.log_in()
    first, second = [_IDS.findall(line)[0] for line in client.ok("FETCH 1:* (EMAILID THREADID)")]
    assert not {*first} & {*second}
    assert client.ok(b"SEARCH EMAILID " + second[0]) == [b"* SEARCH 2"]
    assert client.ok(b"SEARCH THREADID " + first[1]) == [b"* SEARCH 1"]
    client.ok("CREATE Elsewhere")
    client.ok("COPY 1 Elsewhere")
    client.ok("SELECT Elsewhere")
    assert _IDS.findall(client.ok("FETCH 1 (EMAILID THREADID)")[0]) == [first]
