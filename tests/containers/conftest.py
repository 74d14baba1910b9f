"""The engine, the world and a stack; every test of this folder needs them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.engine import VERSION, WORLD, WORLD4, WORLD6, Engine
from tests.containers.project import PASSWORD, Project
from tests.tools.sink import SinkProcess

REMOTES = [f"remote{number}.test" for number in range(6)]
ACCOUNTS = [f"user{number}@packetboat.test" for number in range(4)]
SINK, SINK6 = f"{WORLD4}.1", f"{WORLD6}::1"  # the world's gateway: this machine
REMOTE6 = "six.test"  # has no IPv4


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    engine = Engine()
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()


@pytest.fixture(scope="session")
def dns(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A DNS server in a container: the remote domains lead to the sink, hosts' domains to their proxies."""
    folder = tmp_path_factory.mktemp("dns")
    zones = dict.fromkeys(REMOTES, f"@ MX 10 mx\nmx A {SINK}\n")
    zones |= {f"host{n}.test": f"@ MX 10 mail\nmail A {WORLD4}.{10 + n}\n" for n in (1, 2)}
    zones[REMOTE6] = f"@ MX 10 mx\nmx AAAA {SINK6}\n"
    arguments = []
    for domain, text in zones.items():
        (folder / domain).write_text(text)
        arguments += ["--zone", f"{domain}=/zones/{domain}"]
    folder.chmod(0o755)
    tests = Path(__file__).resolve().parents[1]
    name = "packetboat-test-dns"
    engine.run("rm", "-f", name, check=False)
    engine.run(
        "run", "-d", "--name", name, "--network", WORLD, "--ip", f"{WORLD4}.53", "-e", "PYTHONPATH=/app:/app/lib:/",
        "-v", f"{tests}:/tests:ro", "-v", f"{folder}:/zones:ro", "--entrypoint", "python", "--no-healthcheck",
        f"packetboat/cli:{VERSION}", "-m", "tests.tools.dnsserver", "--listen", "0.0.0.0:53", *arguments,
    )  # fmt: skip
    try:
        yield
    finally:
        engine.run("rm", "-f", name)


@pytest.fixture(scope="session")
def sink(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SinkProcess]:
    """Another server of the world; killed and started again it still knows what it said 250 to."""
    with SinkProcess(tmp_path_factory.mktemp("sink"), SINK, 10025) as sink:
        yield sink


@pytest.fixture(scope="session")
def fresh_stack(engine: Engine, dns: None) -> Iterator[Project]:
    project = Project(engine)
    project.down(forget=True)
    try:
        project.up()
        project.add_accounts(ACCOUNTS)
        project.cli("account", "passwd", "alice@packetboat.test", "--password-stdin", input=PASSWORD + "\n")
        yield project
    finally:
        project.down(forget=True)


@pytest.fixture
def stack(fresh_stack: Project) -> Project:
    """A stack with one replica of each service, whatever the last test left."""
    return fresh_stack.up({"mta": 1, "mda": 1, "relay": 1, "access": 1})
