"""Counters that all replicas share: messages per hour and account, failed logins per IP and account.

Redis may be away: these raise RedisError then, and the caller decides what that means (a submission
goes on without its limit; a login goes on, slowed by the process's own delay).
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
from dataclasses import dataclass

from redis.asyncio import Redis

from shared.queue.keys import PREFIX
from shared.queue.scripts import Script

LOGIN_WINDOW = 900.0  # seconds in which failed logins are counted
LOGIN_COUNTED = 1_000  # failures of one subject that are counted at all
LOGIN_REFUSE = 50  # failures of one network after which it isn't listened to
LOGIN_DELAY_FIRST = 1.0  # seconds, doubled for each further failure
LOGIN_DELAY_MOST = 30.0
PAIR_FREE = 3  # failures that cost nothing: people mistype
NETWORK_FREE = 10  # many people may share an address
ACCOUNT_FREE = 10
FRIEND_TIME = 30 * 86_400  # seconds that a network which has logged in is remembered
IPV6_NETWORK = 64  # bits: who has one address of a /64 has all of them


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether something is allowed now; `used` of the limit, and the seconds to wait if it isn't."""

    allowed: bool
    used: int
    retry_after: float


class Throttle:
    """Sliding windows, kept in Redis under hashed names."""

    def __init__(self, redis: Redis, *, prefix: str = PREFIX) -> None:
        self._redis = redis
        self._prefix = f"{prefix}throttle:"
        self._count = Script(redis, "window", "window_count")

    async def count(self, name: str, subject: str, *, limit: int, window: float, amount: int = 1) -> Verdict:
        """Count `amount` for a subject unless that exceeds `limit` in `window` seconds."""
        reply = await self._count([self.key(name, subject)], [limit, int(window * 1000), amount])
        return Verdict(bool(reply[0]), int(reply[1]), int(reply[2]) / 1000)

    def key(self, name: str, subject: str) -> str:
        """Return the Redis key of a counter; the subject is somebody else's text, hence hashed."""
        digest = hashlib.blake2b(subject.encode("utf-8", "surrogatepass"), digest_size=16)
        return f"{self._prefix}{name}:{digest.hexdigest()}"


class LoginThrottle:
    """Failed logins slow the next one: of the client's network, of the account, and of the two together.

    A network that guesses is refused in the end, an account is only slowed. An account that has lately
    logged in from a network is spared both: else anybody could lock its owner out, and one phone with an
    old password a whole office. Guessing at it from there is slowed all the same.
    """

    def __init__(self, redis: Redis, *, prefix: str = PREFIX) -> None:
        self._redis = redis
        self._throttle = Throttle(redis, prefix=prefix)
        self._look = Script(redis, "window", "window_look")

    async def delay(self, ip: str, account: str) -> float | None:
        """Return the seconds to wait before a password is looked at; None: refuse without looking."""
        network = network_of(ip)
        friend, by_network, by_pair, by_account = await self._look(
            [
                self._friend(network, account),
                self._throttle.key("login-network", network),
                self._throttle.key("login-pair", _pair(network, account)),
                self._throttle.key("login-account", account),
            ],
            [int(LOGIN_WINDOW * 1000)],
        )
        if friend:
            return delay_after(by_pair - PAIR_FREE)
        if by_network >= LOGIN_REFUSE:
            return None
        return max(
            delay_after(by_pair - PAIR_FREE),
            delay_after(by_network - NETWORK_FREE),
            delay_after(by_account - ACCOUNT_FREE),
        )

    async def failed(self, ip: str, account: str) -> None:
        """Count a failed login."""
        network = network_of(ip)
        await asyncio.gather(
            self._count("login-network", network),
            self._count("login-pair", _pair(network, account)),
            self._count("login-account", account),
        )

    async def succeeded(self, ip: str, account: str) -> None:
        """Forget an account's failures from this network, which may be guessing others all the same."""
        network = network_of(ip)
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.delete(self._throttle.key("login-pair", _pair(network, account)))
            pipeline.set(self._friend(network, account), "1", ex=FRIEND_TIME)
            await pipeline.execute()

    async def _count(self, name: str, subject: str) -> None:
        await self._throttle.count(name, subject, limit=LOGIN_COUNTED, window=LOGIN_WINDOW)

    def _friend(self, network: str, account: str) -> str:
        return self._throttle.key("login-friend", _pair(network, account))


def delay_after(failures: int) -> float:
    """Return the seconds that a login waits after so many failures beyond the free ones."""
    return min(LOGIN_DELAY_MOST, LOGIN_DELAY_FIRST * 2.0 ** min(failures - 1, 16)) if failures > 0 else 0.0


def network_of(ip: str) -> str:
    """Return what counts as one client: an IPv4 address, or an IPv6 /64."""
    address = ipaddress.ip_address(ip.partition("%")[0])
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), IPV6_NETWORK), strict=False))


def _pair(network: str, account: str) -> str:
    return f"{network} {account}"
