"""Networks that may submit without logging in."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable


class Networks:
    """A set of IPv4 and IPv6 networks; empty by default, so that nobody is trusted."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(network) for network in networks]

    def __contains__(self, ip: str) -> bool:
        if not self._networks:
            return False
        address = ipaddress.ip_address(ip.partition("%")[0])
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return any((mapped or address) in network for network in self._networks)
