"""The name that a client's address has, confirmed by the name's own addresses: what scanners and milters are told."""

from __future__ import annotations

import asyncio

import dns.reversename

from shared.dns import Found, Resolver

TIMEOUT = 4.0  # seconds; a name that takes longer is unknown
MAX_NAMES = 3  # of one address that are looked at


class ClientNames:
    """Asks the DNS; the resolver keeps the answers."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def of(self, ip: str) -> str:
        """Return the confirmed name of an address, "" if it has none or nobody can say now."""
        try:
            async with asyncio.timeout(TIMEOUT):
                return await self._confirmed(ip)
        except TimeoutError:
            return ""

    async def _confirmed(self, ip: str) -> str:
        try:
            question = dns.reversename.from_address(ip).to_text()
        except (dns.exception.SyntaxError, ValueError):
            return ""
        answer = await self._resolver.look_up(question, "PTR")
        for record in answer.records[:MAX_NAMES] if isinstance(answer, Found) else ():
            name = record.target.to_text(omit_final_dot=True)
            back = await self._resolver.look_up(name, "AAAA" if ":" in ip else "A")
            if isinstance(back, Found) and any(one.address == ip for one in back.records):
                return str(name)
        return ""
