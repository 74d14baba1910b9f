"""One compose project: a stack as its operator runs it, and what tests look at."""

from __future__ import annotations

import imaplib
import json
import re
import smtplib
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

from tests.containers.engine import REPOSITORY, VERSION, WORLD4, WORLD6, Engine
from tests.tools.certificates import trusting_context

FOLDER = Path(__file__).parent
FILES = (REPOSITORY / "docker-compose.yml", REPOSITORY / "deploy" / "compose.ipv6.yml", FOLDER / "compose.test.yml")
STANDARD_PORTS = {
    "SMTP": 25,
    "SUBMISSION": 587,
    "SUBMISSIONS": 465,
    "IMAP": 143,
    "IMAPS": 993,
    "POP3": 110,
    "POP3S": 995,
    "SIEVE": 4190,
    "ADMIN": 8080,
}
PASSWORD = "correct horse"
START_TIME = 180  # seconds
SERVICES = ("mta", "relay", "mda", "access", "admin")
_ID = re.compile(rb"\bid[ \t\r\n]+([0-7][0-9A-HJKMNP-TV-Z]{25})\b")
_SCRAPE = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8080/metrics').read().decode())"


class Project:
    """Host number 1 has the ports of `make up`; each number has networks of its own."""

    def __init__(self, engine: Engine, number: int = 1, version: str = VERSION) -> None:
        self.engine = engine
        self.name = f"packetboat-test-{number}"
        self.port_base = 10_000 + 1000 * number
        self.world4, self.world6 = f"{WORLD4}.{10 + number}", f"{WORLD6}::{10 + number}"
        self.net4 = f"172.30.{100 + number}"
        self.tls = trusting_context()
        self.env = {
            "COMPOSE_PROJECT_NAME": self.name,
            "COMPOSE_FILE": ":".join(str(file) for file in FILES),
            "PACKETBOAT_PUBLISH6": "::",
            "PACKETBOAT_VERSION": version,
            "PACKETBOAT_NET4": self.net4,
            "PACKETBOAT_TRUSTED_NETWORKS": f'["{self.net4}.1/32"]',  # this machine, for LMTP
            "PACKETBOAT_NET6": f"fd25:587:{100 + number}",
            "PACKETBOAT_RESOLVER_CONFIG": str(FOLDER / "resolver.d"),
            "PACKETBOAT_HOSTNAME": f"mail.host{number}.test",
            "TEST_WORLD4": self.world4,
            "TEST_WORLD6": self.world6,
            **{f"PACKETBOAT_PORT_{name}": str(self.port_base + port) for name, port in STANDARD_PORTS.items()},
        }

    # life

    def compose(self, *arguments: str, check: bool = True, input: str | None = None, timeout: float = 300) -> str:
        """Run `docker compose …`."""
        return self.engine.run("compose", *arguments, check=check, env=self.env, input=input, timeout=timeout)

    def up(self, scale: Mapping[str, int] | None = None, env: Mapping[str, str] | None = None) -> Self:
        """Bring it up, and wait until every container is healthy."""
        self.env |= env or {}
        scales = [f"--scale={service}={count}" for service, count in (scale or {}).items()]
        self.compose("up", "-d", "--no-build", "--quiet-pull", *scales, timeout=START_TIME)
        self.wait_healthy()
        return self

    def down(self, *, forget: bool = False) -> None:
        """Take it down, with all its data if told."""
        self.compose("--profile", "*", "down", "--remove-orphans", *(["-v"] if forget else []))

    def wait_healthy(self, timeout: float = START_TIME) -> None:
        """Wait until what runs for long is healthy; AssertionError with the state if it isn't in time."""
        deadline = time.monotonic() + timeout
        while sick := [row for row in self.state() if not _is_well(row)]:
            if time.monotonic() > deadline:
                names = [f"{row['Name']}: {row['State']} {row['Health']}" for row in sick]
                raise AssertionError(f"{names}\n{self.compose('logs', '--tail', '20')}")
            time.sleep(0.5)

    def state(self) -> list[dict[str, str]]:
        """Every container of the project, as `compose ps` tells it."""
        return [json.loads(line) for line in self.compose("ps", "-a", "--format", "json").splitlines()]

    def containers(self, service: str) -> list[str]:
        """Names of a service's running containers."""
        return sorted(r["Name"] for r in self.state() if r["Service"] == service and r["State"] == "running")

    def cli(self, *arguments: str, input: str | None = None) -> str:
        """Run a `packetboat` command."""
        return self.compose("run", "--rm", "-T", "cli", *arguments, input=input)

    def address_on(self, container: str, network: str) -> str:
        """A container's IPv4 address on one of the project's networks."""
        told = json.loads(self.engine.run("inspect", container))[0]["NetworkSettings"]["Networks"]
        return str(told[f"{self.name}_{network}"]["IPAddress"])

    # accounts, mail

    def demo(self) -> dict[str, str]:
        """The demo accounts, out of what `init` has said."""
        lines = self.compose("logs", "--no-log-prefix", "init").splitlines()
        return dict(re.findall(r"account (\S+)  password (\S+)", "\n".join(lines)))

    def add_accounts(self, addresses: Iterable[str]) -> None:
        """Make accounts, and their domains, with the password of all tests."""
        known = set(self.cli("domain", "list").split())
        for address in addresses:
            domain = address.partition("@")[2]
            if domain not in known:
                self.cli("domain", "add", domain)
                known.add(domain)
            self.cli("account", "add", address, "--password-stdin", input=PASSWORD + "\n")

    def submit(self, user: str, password: str, recipient: str, subject: str = "test") -> str:
        """Send a message through submission; return its entry's id."""
        with smtplib.SMTP("127.0.0.1", self.port_base + 587, timeout=60) as smtp:
            smtp.starttls(context=self.tls)
            smtp.login(user, password)
            return send(smtp, user, recipient, subject)

    def imap(self, user: str, password: str) -> imaplib.IMAP4_SSL:
        """Log in over implicit TLS."""
        client = imaplib.IMAP4_SSL("127.0.0.1", self.port_base + 993, ssl_context=self.tls, timeout=60)
        client.login(user, password)
        return client

    def messages(self, user: str, password: str, what: str = "BODY.PEEK[HEADER]") -> list[bytes]:
        """All messages' headers in a user's INBOX."""
        client = self.imap(user, password)
        try:
            _, (count, *_) = client.select("INBOX", readonly=True)
            if not int(count or b"0"):
                return []
            _, answers = client.fetch("1:*", f"({what})")
            return [answer[1] for answer in answers if isinstance(answer, tuple)]
        finally:
            client.logout()

    def entries(self, user: str, password: str) -> Counter[str]:
        """How often each entry is in a user's INBOX, by the id that our MTA gave it."""
        return Counter(entry_of(message) for message in self.messages(user, password))

    # what replicas did

    def metric(self, container: str, name: str) -> float:
        """The sum of a counter of one container."""
        text = self.engine.run("exec", container, "python", "-c", _SCRAPE)
        return sum(float(value) for value in re.findall(rf"(?m)^{name}(?:\{{[^}}]*\}})? (\S+)$", text))

    def waiting(self) -> list[dict[str, object]]:
        """What isn't finished yet."""
        return [json.loads(line) for line in self.cli("queue", "list", "--json").splitlines() if line.startswith("{")]

    def leased(self) -> int:
        """How many entries are leased, in both lanes."""
        script = "for _, k in ipairs(redis.call('KEYS', '*')) do if redis.call('TYPE', k).ok == 'stream' then " \
            "for _, g in ipairs(redis.call('XINFO', 'GROUPS', k)) do total = total + g[6] end end end"  # fmt: skip
        script = f"local total = 0; {script}; return total"
        command = 'REDISCLI_AUTH="$(cat /secrets/password)" exec redis-cli eval "$0" 0'
        return int(self.compose("exec", "-T", "redis", "sh", "-c", command, script).split()[-1])

    def settle(self, timeout: float = 240) -> None:
        """Wait until nothing waits any more."""
        deadline = time.monotonic() + timeout
        while waiting := self.waiting():
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(waiting)} recipients still wait, such as {waiting[:3]}")
            time.sleep(1)


def send(smtp: smtplib.SMTP, sender: str, recipient: str, subject: str = "test") -> str:
    """Send a message over an open connection; return its entry's id."""
    text = f"From: <{sender}>\r\nTo: <{recipient}>\r\nSubject: {subject}\r\n\r\nText.\r\n".encode()
    smtp.mail(sender)
    code, reply = smtp.rcpt(recipient)
    assert code == 250, reply
    code, reply = smtp.data(text)
    assert code == 250, reply
    found = re.search(rb"\b[0-7][0-9A-HJKMNP-TV-Z]{25}\b", reply)
    assert found, reply
    return found[0].decode()


def entry_of(message: bytes) -> str:
    """The id that our MTA gave a message: the last Received field is the first hop's."""
    ids = _ID.findall(message)
    return ids[-1].decode() if ids else "without an id"


def _is_well(row: Mapping[str, str]) -> bool:
    if row["Service"] in ("init", "secrets", "cli"):
        return row["State"] == "exited"
    return (row["State"], row["Health"]) == ("running", "healthy")
