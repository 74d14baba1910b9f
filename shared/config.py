"""Settings that every service has: environment variables `PACKETBOAT_…`, or a TOML file.

Only a service's `__main__` or `app` reads them; everything below is given values.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
import socket
import tempfile
import tomllib
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import quote

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from shared.errors import ConfigurationError, in_our_words
from shared.sasl.scram import Algorithm

MAX_SOCKET_PATH = 107  # octets, sun_path less its NUL
CONFIG_FILE = "packetboat.toml"  # in the data folder, or named by PACKETBOAT_CONFIG

S = TypeVar("S", bound="CommonSettings")


class CommonSettings(BaseSettings):
    """What all services are told."""

    model_config = SettingsConfigDict(env_prefix="PACKETBOAT_", extra="ignore", frozen=True)

    data: Path = Field(Path("data"), description="The shared volume: journal, TLS files; SQLite's file too.")
    database_url: str = Field(
        "", description="`sqlite:///PATH` or `postgresql://USER@HOST/NAME`; empty: SQLite in the data folder."
    )
    redis_url: str = Field(
        "", description="`redis://HOST:PORT/0` or `unix:///PATH`; empty: the socket of the embedded Valkey."
    )
    database_password_file: Path | None = Field(
        None, description="File with PostgreSQL's password, which the URL then need not have."
    )
    redis_password_file: Path | None = Field(
        None, description="File with Redis' password, which the URL then need not have."
    )
    hostname: str = Field("", description="Our name in greetings, Received and bounces; empty: the host's own.")
    listen: list[str] = Field(["127.0.0.1"], description="Addresses that listeners bind, IPv4 and IPv6 (JSON list).")
    port_base: int = Field(0, ge=0, le=60000, description="Added to each standard port: 10000 makes 25 10025.")
    workers: int = Field(1, ge=1, le=256, description="Worker processes of the service.")
    health_listen: str = Field(
        "", description="`ADDR:PORT` of /healthz, /readyz and /metrics; empty: none. Not for the public."
    )
    grace_period: float = Field(25.0, gt=0, description="Seconds that a draining service may take after SIGTERM.")
    log_level: str = Field("info", description="debug, info, warning or error.")
    log_format: str = Field("json", description="json, or text for people.")
    tls_certificate: Path | None = Field(
        None, description="PEM file of the certificate chain; empty: tls/cert.pem in the data folder."
    )
    tls_key: Path | None = Field(None, description="PEM file of its key; empty: tls/key.pem in the data folder.")
    tls_sni: Path | None = Field(
        None,
        description="Folder of NAME.crt and NAME.key for other names (SNI); empty: tls/sni in the data folder.",
    )
    allow_plaintext_auth: bool = Field(
        False,
        description="Allow passwords without TLS: for benchmarks and conformance tools, on loopback only.",
    )
    sasl_mechanisms: list[
        Literal["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1", "PLAIN", "LOGIN"]
    ] = Field(
        ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN"],
        description="SASL mechanisms of SMTP, IMAP, POP3 and ManageSieve (JSON list), best first. SCRAM works for "
        "passwords set here, and for imported hashes after their first login by PLAIN.",
    )
    trusted_networks: list[str] = Field(
        [], description="Networks (CIDR, JSON list) that may submit mail without logging in."
    )
    proxy_networks: list[str] = Field(
        [],
        description="Networks (CIDR, JSON list) of TCP proxies, whose connections begin with the PROXY protocol.",
    )
    resolver: str = Field("", description="`ADDR:PORT` of the DNS resolver; empty: the system's.")
    scanners: Path | None = Field(
        None,
        description="TOML file of spam and virus scanners, or a folder of such files (docs/filters.md); empty: "
        "scanners.toml in the data folder, if there is one.",
    )
    queue_lease: float = Field(
        60.0, ge=1, description="Seconds after which the work of a worker that fell silent is taken by another."
    )
    sweep_interval: float = Field(
        30.0, gt=0, description="Seconds between looks for mail that Redis has forgotten, by one worker of all."
    )
    journal_segment_bytes: int = Field(
        64 * 1024 * 1024, ge=64 * 1024, description="A journal segment is sealed when it is larger, octets."
    )
    journal_segment_age: float = Field(120.0, gt=0, description="… or when it is older, seconds.")
    reserve_bytes: int = Field(
        256 * 1024 * 1024,
        ge=0,
        description="Below this much free space on the volume new mail gets 452, octets.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, the environment over the file."""
        file = config_file()
        sources = (init_settings, env_settings)
        return (*sources, TomlConfigSettingsSource(settings_cls, file)) if file else sources

    @field_validator("scanners", mode="before")
    @classmethod
    def _nothing(cls, value: Any) -> Any:
        return value or None  # compose passes "" for what isn't set

    @field_validator("listen")
    @classmethod
    def _addresses(cls, value: list[str]) -> list[str]:
        for address in value:
            ipaddress.ip_address(address)
        return value

    @field_validator("trusted_networks", "proxy_networks")
    @classmethod
    def _networks(cls, value: list[str]) -> list[str]:
        for network in value:
            ipaddress.ip_network(network)
        return value

    @model_validator(mode="after")
    def _plaintext_only_on_loopback(self) -> CommonSettings:
        if self.allow_plaintext_auth and not all(ipaddress.ip_address(a).is_loopback for a in self.listen):
            raise ValueError("allow_plaintext_auth needs every listen address to be loopback")
        return self

    @property
    def mechanisms(self) -> tuple[bytes, ...]:
        """The SASL mechanisms as they are called on the wire."""
        return tuple(name.encode("ascii") for name in self.sasl_mechanisms)

    @property
    def scram(self) -> tuple[Algorithm, ...]:
        """The algorithms whose verifiers are kept."""
        return tuple(one for one in Algorithm if one.mechanism in self.mechanisms)

    @property
    def loopback(self) -> list[str]:
        """The addresses of `listen` that only this machine can reach, or 127.0.0.1."""
        return [address for address in self.listen if ipaddress.ip_address(address).is_loopback] or ["127.0.0.1"]

    @property
    def open_age(self) -> float:
        """Seconds without a write after which a segment's writer seems dead: it would have sealed it."""
        return 1.5 * self.journal_segment_age

    @property
    def journal(self) -> Path:
        """The journal's folder."""
        return self.data / "journal"

    @property
    def sql(self) -> str:
        """The database URL with the default and the password filled in."""
        url = self.database_url or f"sqlite:///{(self.data / 'packetboat.db').absolute()}"
        return _with_password(url, self.database_password_file)

    @property
    def redis(self) -> str:
        """The Redis URL with the default and the password filled in."""
        return _with_password(self.redis_url or f"unix://{embedded_socket(self.data)}", self.redis_password_file)

    @property
    def scanner_file(self) -> Path | None:
        """The scanners' file with the default filled in; None when there is none."""
        default = self.data / "scanners.toml"
        return self.scanners or (default if default.is_file() else None)

    @property
    def name(self) -> str:
        """Our host name with the default filled in."""
        return self.hostname or socket.getfqdn()

    @property
    def certificate(self) -> Path:
        """The certificate file with the default filled in."""
        return self.tls_certificate or self.data / "tls" / "cert.pem"

    @property
    def key(self) -> Path:
        """The key file with the default filled in."""
        return self.tls_key or self.data / "tls" / "key.pem"

    @property
    def sni(self) -> Path | None:
        """The SNI folder with the default filled in; None when there is none."""
        default = self.data / "tls" / "sni"
        return self.tls_sni or (default if default.is_dir() else None)


def embedded_socket(data: Path) -> Path:
    """Return where the embedded Valkey of a data folder listens; a socket's path has 107 octets at most."""
    path = (data / "run" / "redis.sock").absolute()
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
        return path
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"packetboat-{os.getuid()}-{digest}" / "redis.sock"


def _with_password(url: str, file: Path | None) -> str:
    """Put the password that a file holds into a URL; ConfigurationError if it can't be read."""
    if file is None:
        return url
    try:
        password = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigurationError(f"the password file {file}: {error.strerror}") from None
    scheme, _, rest = url.partition("://")
    user, at, place = rest.rpartition("@")
    return f"{scheme}://{user if at else ''}:{quote(password, safe='')}@{place}"


def config_file() -> Path | None:
    """Return the TOML file that PACKETBOAT_CONFIG names, or the data folder's, if there is one."""
    named = os.environ.get("PACKETBOAT_CONFIG")
    if named:
        if not Path(named).is_file():
            raise ConfigurationError(f"PACKETBOAT_CONFIG names {named}, which is no file")
        return Path(named)
    path = Path(os.environ.get("PACKETBOAT_DATA", "data")) / CONFIG_FILE
    return path if path.is_file() else None


def load_settings(cls: type[S], **values: Any) -> S:
    """Read a service's settings; ConfigurationError names the setting that is wrong."""
    try:
        return cls(**values)
    except SettingsError as error:  # a list or an object that is no JSON
        found = re.search(r'field "(\w+)"', str(error))
        setting = f"PACKETBOAT_{found[1].upper()}" if found else "settings"
        raise ConfigurationError(f'{setting}: write it as JSON, such as ["a", "b"]') from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{config_file()}: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        setting = f"PACKETBOAT_{where.upper()}" if where else "settings"
        raise ConfigurationError(f"{setting}: {in_our_words(first['msg'])}") from None
