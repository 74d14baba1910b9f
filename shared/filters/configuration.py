"""The operator's TOML file of scanners: one table each, in the order in which they are asked.

    [rspamd]
    at = "mta"
    url = "http://rspamd:11333"

    [clamav]
    at = "mda"
    address = "clamav:3310"

A table's name is the scanner's; its `type` is its name unless it says otherwise. docs/filters.md has all options.
"""

from __future__ import annotations

import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from shared.errors import ConfigurationError, in_our_words
from shared.filters.endpoint import Endpoint
from shared.filters.limits import MAX_SCANNERS


class Place(StrEnum):
    """Where a scanner is asked."""

    MTA = "mta"  # before the 250: may refuse
    MDA = "mda"  # after it: may file, tag, keep back


class WhenDown(StrEnum):
    """What becomes of mail while a scanner can't be asked."""

    SKIP = "skip"  # it passes, and a header field says that it wasn't scanned
    TEMPFAIL = "tempfail"  # 451 at the mta; at the mda it waits
    HOLD = "hold"  # accepted, and kept in the quarantine


class Judgement(StrEnum):
    """What is done with mail that a scanner objects to."""

    NONE = "none"
    TAG = "tag"
    QUARANTINE = "quarantine"
    DISCARD = "discard"
    TEMPFAIL = "tempfail"
    REJECT = "reject"


class _Common(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    at: Place = Place.MTA
    timeout: float = Field(10.0, gt=0, le=600)  # seconds for one message
    connections: int = Field(16, ge=1, le=1000)  # at once, of one worker process
    max_size: int = Field(0, ge=0)  # octets; longer messages aren't scanned; 0 = no limit
    when_down: WhenDown = WhenDown.SKIP
    listeners: tuple[Literal["mx", "submission", "lmtp"], ...] = ("mx", "submission")

    @model_validator(mode="after")
    def _fits(self) -> _Common:
        if not self.listeners:
            raise ValueError("listeners names one or more of mx, submission, lmtp")
        return self


def _checked_address(value: str) -> str:
    Endpoint.parse(value)
    return value


class RspamdConfig(_Common):
    """rspamd's normal worker or proxy, over HTTP."""

    type: Literal["rspamd"] = "rspamd"
    url: str = "http://127.0.0.1:11333"
    password: str = ""
    max_size: int = Field(50 * 1024 * 1024, ge=0)
    reject: Judgement = Judgement.REJECT  # what its `reject` does
    spam_score: float = Field(
        6.0, gt=0
    )  # its `add header`: what scores are compared with in spamtest and X-Spam-Status
    learn_url: str = ""  # its controller, http://HOST:11334: mail moved into or out of Junk trains it
    learn_password: str = ""

    @field_validator("url", "learn_url")
    @classmethod
    def _web(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("a URL begins with http:// or https://")
        return value.rstrip("/")


class ClamavConfig(_Common):
    """clamd."""

    type: Literal["clamav"] = "clamav"
    address: str = "127.0.0.1:3310"
    timeout: float = Field(60.0, gt=0, le=600)
    max_size: int = Field(25 * 1024 * 1024, ge=0)  # clamd's StreamMaxLength
    virus: Judgement = Judgement.REJECT

    _address = field_validator("address")(_checked_address)


class SpamassassinConfig(_Common):
    """spamd."""

    type: Literal["spamassassin"] = "spamassassin"
    address: str = "127.0.0.1:783"
    timeout: float = Field(30.0, gt=0, le=600)
    max_size: int = Field(500 * 1024, ge=0)
    user: str = ""
    reject_score: float | None = None  # from this score on mail is refused (at the mda: quarantined)

    _address = field_validator("address")(_checked_address)


class MilterConfig(_Common):
    """A milter, such as OpenDKIM: part of the SMTP session."""

    type: Literal["milter"] = "milter"
    address: str
    timeout: float = Field(60.0, gt=0, le=600)  # seconds for each answer
    daemon_name: str = "packetboat"
    macros: dict[str, str] = Field(default_factory=dict)  # more of them, told at connect

    _address = field_validator("address")(_checked_address)

    @field_validator("at")
    @classmethod
    def _only_at_mta(cls, value: Place) -> Place:
        if value is not Place.MTA:
            raise ValueError('a milter is part of the SMTP session: at = "mta"')
        return value


class CommandConfig(_Common):
    """A program that reads the message and says by its exit status what it thinks."""

    type: Literal["command"] = "command"
    command: tuple[str, ...] = Field(min_length=1)
    timeout: float = Field(30.0, gt=0, le=600)
    connections: int = Field(4, ge=1, le=1000)
    max_memory: int = Field(512 * 1024 * 1024, ge=16 * 1024 * 1024)  # octets of address space
    exit: dict[str, Judgement] = Field(default_factory=lambda: {"1": Judgement.REJECT, "75": Judgement.TEMPFAIL})

    @field_validator("exit")
    @classmethod
    def _statuses(cls, value: dict[str, Judgement]) -> dict[str, Judgement]:
        for status in value:
            if not status.isdigit() or not 1 <= int(status) <= 255:
                raise ValueError("exit statuses are 1 to 255 (0 lets the message pass)")
        return value

    @field_validator("command")
    @classmethod
    def _absolute(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value[0].startswith("/"):
            raise ValueError("a command begins with the absolute path of a program")
        return value


ScannerConfig: TypeAlias = RspamdConfig | ClamavConfig | SpamassassinConfig | MilterConfig | CommandConfig
_READER: TypeAdapter[ScannerConfig] = TypeAdapter(Annotated[ScannerConfig, Field(discriminator="type")])
TYPES = ("rspamd", "clamav", "spamassassin", "milter", "command")


def load_scanners(path: Path | None) -> tuple[ScannerConfig, ...]:
    """Read a file, or all *.toml of a folder in the order of their names; ConfigurationError in one line."""
    if path is None:
        return ()
    try:
        files = sorted(path.glob("*.toml")) if path.is_dir() else [path]
        tables = [(file, tomllib.loads(file.read_text(encoding="utf-8"))) for file in files]
    except OSError as error:
        raise ConfigurationError(f"scanners: {error.filename}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"scanners: {path}: {error}") from None
    found = [_scanner(file, name, table) for file, content in tables for name, table in content.items()]
    names = [scanner.name for scanner in found]
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(f"scanners: {path}: there are two scanners named {name}")
    if len(found) > MAX_SCANNERS:
        raise ConfigurationError(f"scanners: {path}: more than {MAX_SCANNERS} scanners")
    return tuple(found)


def _scanner(file: Path, name: str, table: Any) -> ScannerConfig:
    if not isinstance(table, dict):
        raise ConfigurationError(f"scanners: {file}: {name}: a scanner is a table, [{name}]")
    kind = table.get("type", name)
    if kind not in TYPES:
        raise ConfigurationError(f"scanners: {file}: [{name}] type: one of {', '.join(TYPES)}")
    try:
        return _READER.validate_python({**table, "type": kind, "name": name})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        said = in_our_words(first["msg"])
        raise ConfigurationError(f"scanners: {file}: [{name}] {where}{': ' if where else ''}{said}") from None
