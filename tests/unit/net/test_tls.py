"""Certificates: which one a client gets, and what happens when the files change."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop
from cryptography import x509

from shared.errors import ConfigurationError
from shared.listener import Listener
from shared.net import Endpoint, bind
from shared.tls import TlsContexts, describe_tls
from tests.tools.certificates import self_signed, trusting_context


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Echo(asyncio.Protocol):
    """Returns what it gets."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[attr-defined]


def put(folder: Path, domain: str, *, named: str | None = None) -> None:
    """Put a domain's certificate and key into an SNI folder."""
    files = self_signed(folder / "made", named or domain)
    os.replace(files.certificate, folder / f"{domain}.crt")
    os.replace(files.key, folder / f"{domain}.key")


def offered(contexts: TlsContexts, name: str | None, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> str:
    """The subject that a client gets who asks for a name, in a handshake in memory."""
    client_context = trusting_context()
    client_context.minimum_version = client_context.maximum_version = version
    a, b = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(a, b, server_hostname=name)
    server = contexts.server.wrap_bio(b, a, server_side=True)
    done: set[ssl.SSLObject] = set()
    while len(done) < 2:
        for side in (client, server):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                pass
    certificate = client.getpeercert(binary_form=True)
    assert certificate is not None
    return str(x509.load_der_x509_certificate(certificate).subject.rfc4514_string())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_certificate_by_server_name(tmp_path: Path, version: ssl.TLSVersion) -> None:
    default = self_signed(tmp_path / "default", "mx.test")
    sni = tmp_path / "sni"
    put(sni, "a.test")
    contexts = TlsContexts(default.certificate, default.key, sni)
    asked = [None, "a.test", "A.TEST", "imap.a.test", "b.test", "aa.test"]
    got = [offered(contexts, name, version) for name in asked]
    assert got == ["CN=mx.test", *["CN=a.test"] * 3, "CN=mx.test", "CN=mx.test"]


def test_old_versions_are_refused(tmp_path: Path) -> None:
    files = self_signed(tmp_path, "mx.test")
    contexts = TlsContexts(files.certificate, files.key)
    assert contexts.server.minimum_version is ssl.TLSVersion.TLSv1_2
    assert contexts.context_for(None).minimum_version is ssl.TLSVersion.TLSv1_2


def test_changed_files_are_taken_after_a_second(tmp_path: Path) -> None:
    clock, problems = Clock(), list[str]()
    sni = tmp_path / "sni"
    sni.mkdir()
    files = self_signed(tmp_path, "old.test")
    contexts = TlsContexts(files.certificate, files.key, sni, report=problems.append, clock=clock)
    assert offered(contexts, None) == "CN=old.test"
    self_signed(tmp_path, "new.test")
    put(sni, "a.test")
    assert [offered(contexts, name) for name in (None, "a.test")] == ["CN=old.test", "CN=old.test"]
    clock.now += 1
    assert [offered(contexts, name) for name in (None, "a.test")] == ["CN=new.test", "CN=a.test"]
    (sni / "a.test.crt").unlink()
    clock.now += 1
    assert offered(contexts, "a.test") == "CN=new.test"
    assert problems == []


def test_a_broken_change_keeps_the_last_good_certificate(tmp_path: Path) -> None:
    clock, problems = Clock(), list[str]()
    files = self_signed(tmp_path, "old.test")
    contexts = TlsContexts(files.certificate, files.key, report=problems.append, clock=clock)
    other = self_signed(tmp_path / "other", "new.test")
    os.replace(other.certificate, files.certificate)
    for _ in range(3):
        clock.now += 1
        assert offered(contexts, None) == "CN=old.test"
    assert problems == [f"TLS: {files.key} is not the key of {files.certificate}"]
    os.replace(other.key, files.key)
    clock.now += 1
    assert offered(contexts, None) == "CN=new.test"


def test_a_new_domain_without_key_is_told_once_and_taken_when_whole(tmp_path: Path) -> None:
    clock, problems = Clock(), list[str]()
    files = self_signed(tmp_path, "mx.test")
    sni = tmp_path / "sni"
    sni.mkdir()
    contexts = TlsContexts(files.certificate, files.key, sni, report=problems.append, clock=clock)
    put(sni, "a.test")
    key = (sni / "a.test.key").read_bytes()
    (sni / "a.test.key").unlink()
    for _ in range(2):
        clock.now += 1
        assert offered(contexts, "a.test") == "CN=mx.test"
    assert problems == [f"TLS: can't read {sni / 'a.test.key'}: No such file or directory"]
    (sni / "a.test.key").write_bytes(key)
    clock.now += 1
    assert offered(contexts, "a.test") == "CN=a.test"


def _missing(folder: Path) -> None:
    (folder / "cert.pem").unlink()


def _garbage(folder: Path) -> None:
    (folder / "cert.pem").write_text("hello")


def _other_key(folder: Path) -> None:
    other = self_signed(folder / "other", "x.test")
    os.replace(other.key, folder / "key.pem")


def _a_folder(folder: Path) -> None:
    (folder / "key.pem").unlink()
    (folder / "key.pem").mkdir()


@pytest.mark.parametrize("spoil", [_missing, _garbage, _other_key, _a_folder])
def test_unusable_certificate_is_one_line(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    files = self_signed(tmp_path, "mx.test")
    spoil(tmp_path)
    with pytest.raises(ConfigurationError, match=r"^TLS: [^\n]+$"):
        TlsContexts(files.certificate, files.key)


def test_missing_sni_folder(tmp_path: Path) -> None:
    files = self_signed(tmp_path, "mx.test")
    with pytest.raises(ConfigurationError, match=r"TLS: can't read .*nowhere"):
        TlsContexts(files.certificate, files.key, tmp_path / "nowhere")


def test_listener_with_implicit_tls_on_uvloop(tmp_path: Path) -> None:
    files = self_signed(tmp_path, "mx.test")
    contexts = TlsContexts(files.certificate, files.key)
    client_context = ssl.create_default_context(cafile=str(files.certificate))

    async def scenario() -> None:
        listener = await Listener.open([Endpoint("127.0.0.1", 0), Endpoint("::1", 0)], Echo, tls=contexts)
        streams = list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]()
        for endpoint in listener.endpoints:
            reader, writer = await asyncio.open_connection(
                endpoint.host, endpoint.port, ssl=client_context, server_hostname="mx.test"
            )
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            assert describe_tls(writer.transport).startswith("TLSv1.3 TLS_")
            streams.append((reader, writer))
        listener.close()  # open connections stay
        for reader, writer in streams:
            writer.write(b"still")
            assert await reader.readexactly(5) == b"still"
            writer.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())


async def test_a_port_in_use_is_one_line() -> None:
    with bind(Endpoint("127.0.0.1", 0)) as first:
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)
        first.listen()
        taken = Endpoint("127.0.0.1", first.getsockname()[1])
        with pytest.raises(ConfigurationError, match=f"can't listen on {taken}: Address already in use"):
            await Listener.open([taken], Echo)


@pytest.mark.parametrize("loop_factory", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_implicit_tls_bears_nonsense_and_those_who_stall(
    tmp_path: Path, loop_factory: Callable[[], asyncio.AbstractEventLoop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.listener.MAX_HANDSHAKES_PER_IP", 3)
    monkeypatch.setattr("shared.listener.HANDSHAKE_TIME", 0.3)
    files = self_signed(tmp_path, "mx.test")
    contexts = TlsContexts(files.certificate, files.key)
    client_context = ssl.create_default_context(cafile=str(files.certificate))

    def nonsense(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as raw:
            raw.sendall(b"EHLO c.test\r\n")
            return raw.recv(100)

    async def stalled(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", port)

    async def scenario() -> None:
        listener = await Listener.open([Endpoint("127.0.0.1", 0)], Echo, tls=contexts)
        port = listener.endpoints[0].port
        assert await asyncio.wait_for(asyncio.to_thread(nonsense, port), 2) in (b"", b"\x15\x03\x01\x00\x02\x02F")
        waiting = [await stalled(port) for _ in range(4)]
        assert await asyncio.wait_for(waiting[3][0].read(), 0.2) == b""  # one too many
        assert await asyncio.wait_for(waiting[0][0].read(), 5) == b""  # too slow
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client_context, server_hostname="mx.test")
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        listener.close()
        assert listener.endpoints == []
        for _, open_writer in [*waiting, (reader, writer)]:
            open_writer.close()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(scenario())
