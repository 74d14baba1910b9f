"""A stack in containers: mail through the published ports, whose it is, and how much memory it takes."""

from __future__ import annotations

import imaplib
import json
import poplib
import smtplib
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.containers.conftest import ACCOUNTS, SINK
from tests.containers.engine import WORLD, WORLD6, Engine
from tests.containers.project import PASSWORD, SERVICES, Project, entry_of, send
from tests.tools.sink import SinkProcess

pytestmark = [pytest.mark.container, pytest.mark.timeout(900)]

ALICE = "alice@packetboat.test"
MEMORY_BAR = 400_000_000  # octets for everything
IDLE_TIME = 60  # seconds before memory is looked at


def wait_for(stack: Project, entry: str, user: str, password: str = PASSWORD, timeout: float = 30) -> bytes:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        for message in stack.messages(user, password):
            if entry_of(message) == entry:
                return message
        time.sleep(0.3)
    raise AssertionError(f"{entry} isn't in {user}'s INBOX\n{stack.compose('logs', '--tail', '30')}")


def test_demo_accounts_on_published_ports(stack: Project) -> None:
    demo = stack.demo()
    assert set(demo) | {ALICE} == {ALICE, "bob@packetboat.test"}  # hers isn't told after its password was changed
    entry = stack.submit(ALICE, PASSWORD, "bob@packetboat.test")
    wait_for(stack, entry, "bob@packetboat.test", demo["bob@packetboat.test"])
    pop3 = poplib.POP3_SSL("127.0.0.1", stack.port_base + 995, context=stack.tls, timeout=30)
    pop3.user("bob@packetboat.test")
    pop3.pass_(demo["bob@packetboat.test"])
    count, _ = pop3.stat()
    assert entry == entry_of(b"\r\n".join(pop3.retr(count)[1]))
    pop3.quit()
    with smtplib.SMTP_SSL("127.0.0.1", stack.port_base + 465, context=stack.tls, timeout=30) as smtp:
        smtp.login(ALICE, PASSWORD)
        wait_for(stack, send(smtp, ALICE, ACCOUNTS[0]), ACCOUNTS[0])


def test_mail_for_the_world_is_relayed(stack: Project, sink: SinkProcess) -> None:
    entry = stack.submit(ALICE, PASSWORD, "somebody@remote0.test")
    deadline = time.monotonic() + 30
    while entry not in {entry_of(message.data) for message in sink.messages()}:
        assert time.monotonic() < deadline, stack.compose("logs", "--tail", "30", "relay", "resolver")
        time.sleep(0.3)


@pytest.mark.parametrize(("place", "client"), [("world4", SINK), ("world6", f"{WORLD6}::1")])
def test_the_clients_address_is_right_behind_the_proxy(stack: Project, place: str, client: str) -> None:
    """This machine is the world's gateway: its address there, IPv4 and IPv6, is what the MTA has to see."""
    with smtplib.SMTP(getattr(stack, place), 10025, timeout=30) as smtp:
        smtp.ehlo("client.test")
        entry = send(smtp, "somebody@remote0.test", ACCOUNTS[1])
    received = wait_for(stack, entry, ACCOUNTS[1])
    literal = f"[IPv6:{client}]" if ":" in client else f"[{client}]"
    assert f"({literal})".encode() in received or literal.encode() in received, received
    assert f'"ip":"{client}"' in stack.compose("logs", "mta")


def test_access_sees_the_clients_address_too(stack: Project) -> None:
    for port, implicit_tls in ((10993, True), (10143, False)):
        if implicit_tls:
            client: imaplib.IMAP4 = imaplib.IMAP4_SSL(stack.world4, port, ssl_context=stack.tls, timeout=30)
        else:
            client = imaplib.IMAP4(stack.world4, port, timeout=30)
            client.starttls(ssl_context=stack.tls)
        client.login(ACCOUNTS[0], PASSWORD)
        client.logout()
    logins = [line for line in stack.compose("logs", "--no-log-prefix", "access").splitlines() if '"login"' in line]
    addresses = [json.loads(line[line.index("{") :])["ip"] for line in logins]
    assert addresses[-2:] == [SINK, SINK], addresses


def test_only_the_proxy_is_believed(stack: Project) -> None:
    """A neighbour on the front network who sends a PROXY header gets no further than an SMTP error."""
    mta = stack.containers("mta")[0]
    code = (
        "import socket; s = socket.create_connection(('mta', 10025), 10); f = s.makefile('rb'); print(f.readline());"
        "s.sendall(b'PROXY TCP4 192.0.2.7 10.0.0.1 1 25\\r\\n'); print(f.readline())"
    )
    said = stack.engine.run("exec", stack.containers("access")[0], "python", "-c", code)
    assert "220 " in said and ("500" in said or "503" in said or "502" in said), (mta, said)


def test_lmtp_is_for_this_host_and_those_who_are_trusted(stack: Project) -> None:
    """As docs/containers.md tells an MTA on the host to reach it; a neighbour that nobody named is turned away."""
    with smtplib.LMTP(f"{stack.net4}.2", 10024, timeout=30) as lmtp:
        lmtp.ehlo("postfix.test")
        entry = send(lmtp, "somebody@remote0.test", ACCOUNTS[2])
    assert b"with LMTP" in wait_for(stack, entry, ACCOUNTS[2])
    code = "import socket; print(socket.create_connection(('proxy', 10024), 10).makefile('rb').readline())"
    assert "b'5" in stack.engine.run("exec", stack.containers("access")[0], "python", "-c", code)


def test_redis_and_postgres_are_out_of_reach(stack: Project) -> None:
    """Neither another project's container nor anything on the public networks gets an answer from them."""
    for service, port in (("redis", 6379), ("postgres", 5432)):
        address = stack.address_on(stack.containers(service)[0], "back")
        code = f"import socket; socket.create_connection(('{address}', {port}), 3); print('reached')"
        said = stack.engine.run(
            "run", "--rm", "--network", WORLD, "--entrypoint", "python", "packetboat/cli:test", "-c", code,
            check=False,
        )  # fmt: skip
        assert "reached" not in said
        networks = json.loads(stack.engine.run("inspect", stack.containers(service)[0]))[0]["NetworkSettings"]
        assert not any(networks["Ports"].values()), "a published port"


def test_the_api_speaks_https_to_those_with_a_token(stack: Project) -> None:
    """The admin container's published port, from the CLI's own client and from any other."""
    token = stack.cli("token", "add", "https", "--scope", "directory:read").split()[-1]
    url = f"https://127.0.0.1:{stack.port_base + 8080}/api/v1/domains"
    with urllib.request.urlopen(_request(url, token), context=stack.tls, timeout=30) as answer:
        assert "packetboat.test" in {domain["name"] for domain in json.load(answer)["items"]}
    for headers in ("", "wrong"):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(_request(url, headers), context=stack.tls, timeout=30)
    stack.cli("token", "revoke", "https")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(_request(url, token), context=stack.tls, timeout=30)


def _request(url: str, token: str) -> urllib.request.Request:
    return urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})


def test_containers_have_little_power(stack: Project) -> None:
    for row in stack.state():
        if row["State"] != "running":
            continue
        told = json.loads(stack.engine.run("inspect", row["Name"]))[0]
        host = told["HostConfig"]
        assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and host["Memory"], row["Name"]
        assert told["Config"]["User"] not in ("", "root", "0"), row["Name"]
        assert any("no-new-privileges" in option for option in host["SecurityOpt"]), row["Name"]


def test_memory_at_rest(stack: Project) -> None:
    """Anonymous and shared memory of each control group, started anew, after a minute with nothing to do."""
    stack.compose("restart")
    stack.wait_healthy()
    time.sleep(IDLE_TIME)
    used = {row["Name"]: memory(stack.engine, row["Name"]) for row in stack.state() if row["State"] == "running"}
    total = sum(used.values())
    print()
    for name, octets in sorted(used.items(), key=lambda item: -item[1]):
        print(f"{octets / 2**20:7.1f} MiB  {name}")
    print(f"{total / 2**20:7.1f} MiB  in all")
    assert {name.rsplit("-", 2)[-2] for name in used} >= {*SERVICES, "redis", "postgres", "proxy", "resolver"}
    assert total <= MEMORY_BAR


def memory(engine: Engine, container: str) -> int:
    """Octets of anonymous and shared memory that a container's control group holds (v1 and v2)."""
    told = json.loads(engine.run("inspect", container))[0]
    pid = told["State"]["Pid"]
    lines = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().split()]
    groups = {controllers: path for _, controllers, path in lines}
    if "memory" in groups:
        file = Path("/sys/fs/cgroup/memory") / groups["memory"].lstrip("/") / "memory.stat"
        names = ("total_rss", "total_shmem")
    else:
        file = Path("/sys/fs/cgroup") / groups[""].lstrip("/") / "memory.stat"
        names = ("anon", "shmem")
    figures = dict(line.split() for line in file.read_text().splitlines())
    return sum(int(figures.get(name, 0)) for name in names)
