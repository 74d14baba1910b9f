"""Certificates of listeners and STARTTLS, by server name, and what a connection says of its TLS."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import Callable
from pathlib import Path

from shared.errors import ConfigurationError
from shared.sasl.channel import end_point

TLS_RECHECK = 1.0  # seconds between two looks at a certificate's files
MAX_SNI_LABELS = 10  # labels of a client's server name that are tried against our domains


class TlsContexts:
    """Certificates by server name; a changed file is used from the next handshake on, open sessions stay.

    `server` is the context for listeners and STARTTLS: it picks the certificate at each handshake.
    A file that changes into something unusable is reported once and the last good certificate kept.
    """

    def __init__(
        self,
        certificate: Path,
        key: Path,
        sni: Path | None = None,
        *,
        report: Callable[[str], None] = lambda problem: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Load everything; ConfigurationError with one line for what is missing, unreadable or mismatched."""
        self._clock = clock
        self._report = report
        self._problems: dict[str, str] = {}
        self._default = _Pair(certificate, key, report, clock)
        self._folder = sni
        self._folder_checked = clock()
        self._domains = {name: self._pair(name) for name in _names(sni)} if sni is not None else {}
        self.server = _server_context()
        self.server.sni_callback = self._choose

    def context_for(self, name: str | None) -> ssl.SSLContext:
        """Return the context for a server name: that domain's, a parent domain's, or the default one."""
        self._rescan()
        labels = name.lower().rstrip(".").split(".") if name and self._domains else []
        for start in range(min(len(labels), MAX_SNI_LABELS)):
            pair = self._domains.get(".".join(labels[start:]))
            if pair is not None:
                return pair.context()
        return self._default.context()

    def _choose(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        connection.context = self.context_for(name)

    def _rescan(self) -> None:
        """Follow domains that came to the folder or left it."""
        now = self._clock()
        if self._folder is None or now - self._folder_checked < TLS_RECHECK:
            return
        self._folder_checked = now
        try:
            names = _names(self._folder)
        except ConfigurationError as error:
            self._tell("", str(error))
            return
        self._domains = {name: pair for name, pair in self._domains.items() if name in names}
        self._problems = {name: text for name, text in self._problems.items() if name in names}
        for name in names - self._domains.keys():
            self._add(name)

    def _add(self, name: str) -> None:
        try:
            self._domains[name] = self._pair(name)
        except ConfigurationError as error:  # its key may be on its way: tried again at the next look
            self._tell(name, str(error))

    def _tell(self, name: str, problem: str) -> None:
        if self._problems.get(name) != problem:
            self._problems[name] = problem
            self._report(problem)

    def _pair(self, name: str) -> _Pair:
        assert self._folder is not None
        return _Pair(self._folder / f"{name}.crt", self._folder / f"{name}.key", self._report, self._clock)


class _Pair:
    """One certificate with its key, loaded again when a file changes."""

    def __init__(self, certificate: Path, key: Path, report: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._certificate = certificate
        self._key = key
        self._report = report
        self._clock = clock
        self._problem = ""
        self._checked = clock()
        self._stamp = self._read_stamp()
        self._context = load_context(certificate, key)

    def context(self) -> ssl.SSLContext:
        now = self._clock()
        if now - self._checked >= TLS_RECHECK:
            self._checked = now
            self._reload()
        return self._context

    def _reload(self) -> None:
        """Take changed files, but only as a working pair: the key may be written after the certificate."""
        try:
            stamp = self._read_stamp()
            if stamp == self._stamp:
                return
            self._context = load_context(self._certificate, self._key)
        except ConfigurationError as error:
            if str(error) != self._problem:
                self._problem = str(error)
                self._report(self._problem)
            return
        self._stamp, self._problem = stamp, ""

    def _read_stamp(self) -> tuple[tuple[int, int, int], ...]:
        return tuple(_file_stamp(path) for path in (self._certificate, self._key))


class ServerContext(ssl.SSLContext):
    """A server's context that knows the `tls-server-end-point` binding of its certificate (RFC 5929)."""

    end_point: bytes | None = None


def load_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return a server context for a PEM certificate chain and its key; ConfigurationError with one line."""
    context = _server_context()
    for path in (certificate, key):
        _check_readable(path)
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigurationError(f"TLS: {key} is not the key of {certificate}") from None
        raise ConfigurationError(f"TLS: {certificate} and {key} are not a PEM certificate and key") from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"TLS: can't use {certificate} with {key}: {error}") from None
    context.end_point = end_point(_leaf(certificate))
    return context


def channel_bindings(transport: asyncio.BaseTransport | None) -> dict[str, bytes]:
    """Return what SASL can bind to on a connection, by type (RFC 5929): nothing without TLS, nor with TLS 1.3.

    There clients that see -PLUS insist on `tls-exporter` (RFC 9266), which Python's ssl can't compute.
    """
    connection = transport.get_extra_info("ssl_object") if transport is not None else None
    if connection is None or connection.version() != "TLSv1.2":
        return {}
    context, found = connection.context, {}
    if isinstance(context, ServerContext) and context.end_point is not None:
        found["tls-server-end-point"] = context.end_point
    if unique := connection.get_channel_binding("tls-unique"):
        found["tls-unique"] = unique
    return found


def describe_tls(transport: asyncio.BaseTransport) -> str:
    """Return a connection's TLS version and cipher as `TLSv1.3 TLS_AES_256_GCM_SHA384`, "" without TLS."""
    cipher = transport.get_extra_info("cipher")
    return f"{cipher[1]} {cipher[0]}" if cipher else ""


def _server_context() -> ServerContext:
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    return context


def _leaf(certificate: Path) -> bytes:
    """Return the first certificate of a PEM file, in DER."""
    _, _, rest = certificate.read_text(encoding="ascii", errors="replace").partition("-----BEGIN CERTIFICATE-----")
    body, end, _ = rest.partition("-----END CERTIFICATE-----")
    return ssl.PEM_cert_to_DER_cert(f"-----BEGIN CERTIFICATE-----{body}{end}\n") if end else b""


def _no_password() -> str:
    raise ValueError("the key is encrypted; decrypt it first")  # OpenSSL would ask at the terminal


def _check_readable(path: Path) -> None:
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise ConfigurationError(f"TLS: can't read {path}: {error.strerror}") from None


def _file_stamp(path: Path) -> tuple[int, int, int]:
    try:
        status = os.stat(path)
    except OSError as error:
        raise ConfigurationError(f"TLS: can't read {path}: {error.strerror}") from None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _names(folder: Path) -> set[str]:
    try:
        return {path.stem for path in folder.iterdir() if path.suffix == ".crt"}
    except OSError as error:
        raise ConfigurationError(f"TLS: can't read {folder}: {error.strerror}") from None
