"""The API's requests and answers, with the examples that its description shows."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from shared.operations.directory import MAX_QUOTA, MAX_TARGETS
from shared.operations.queue import MAX_ENTRIES
from shared.operations.sites import MAX_CONNECTIONS
from shared.operations.tokens import DEFAULT_DAYS, MAX_DAYS, Scope

TEXT = r"^[^\x00-\x1f\x7f]*$"
Text = Annotated[str, StringConstraints(max_length=1000, pattern=TEXT)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=TEXT)]
Mail = Annotated[str, StringConstraints(min_length=1, max_length=320, pattern=TEXT)]
Password = Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[^\x00]*$")]
Time = Annotated[float, Field(description="Unix time, seconds.", examples=[1795406400.0])]


class Body(BaseModel):
    """A request's body: unknown names are mistakes."""

    model_config = ConfigDict(extra="forbid")


class NewDomain(Body):
    """A domain to be added."""

    name: Name = Field(examples=["example.org"])
    alias_of: Text = Field("", description="Share the local parts of this domain.", examples=[""])


class DomainChange(Body):
    """What is to be set of a domain."""

    postmaster: Text | None = Field(None, description='"": its first account.', examples=["me@example.org"])
    catchall: Text | None = Field(None, description='"": none.', examples=["me@example.org"])


class Domain(BaseModel):
    """A domain whose mail is ours."""

    name: str = Field(examples=["example.org"])
    alias_of: str = Field(examples=[""])
    catchall: str = Field(examples=[""])
    postmaster: str = Field(examples=["me@example.org"])
    accounts: int = Field(examples=[3])
    aliases: int = Field(examples=[5])
    created_at: Time
    version: str = Field(examples=["4f2a9c51d0aa"])


class DnsRecord(BaseModel):
    """A DNS record to publish; `state` and `found` tell of a check."""

    name: str = Field(examples=["example.org"])
    type: str = Field(examples=["MX"])
    value: str = Field(examples=["10 mail.example.org."])
    why: str = Field(examples=["other servers find us"])
    required: bool = Field(examples=[True])
    state: Literal["ok", "missing", "different", "unknown"] | None = Field(None, examples=["ok"])
    found: list[str] | None = Field(None, examples=[["10 mail.example.org."]])


class NewAccount(Body):
    """An account to be added, with a password or another server's hash of one."""

    address: Mail = Field(examples=["me@example.org"])
    password: Password | None = Field(None, examples=["correct horse battery staple"])
    password_hash: Password | None = Field(None, description="bcrypt, SHA512-CRYPT or argon2.", examples=[None])
    quota_bytes: int = Field(0, ge=0, le=MAX_QUOTA, description="0: none.", examples=[1073741824])


class AccountChange(Body):
    """What is to be set of an account."""

    enabled: bool | None = Field(None, examples=[True])
    quota_bytes: int | None = Field(None, ge=0, le=MAX_QUOTA, examples=[2147483648])
    quota_messages: int | None = Field(None, ge=0, le=MAX_QUOTA, examples=[100000])
    password: Password | None = Field(None, examples=[None])
    password_hash: Password | None = Field(None, examples=[None])


class NewAppPassword(Body):
    """A password for one program."""

    name: Name = Field(examples=["phone"])
    password: Password | None = Field(None, examples=["tr0ub4dor and 3"])
    password_hash: Password | None = Field(None, examples=[None])


class AppPassword(BaseModel):
    """An app password, without the password."""

    name: str = Field(examples=["phone"])
    created_at: Time


class Account(BaseModel):
    """Who has mailboxes and logs in."""

    address: str = Field(examples=["me@example.org"])
    enabled: bool = Field(examples=[True])
    quota_bytes: int = Field(description="0: none.", examples=[1073741824])
    quota_messages: int = Field(0, description="0: none.", examples=[0])
    used_bytes: int = Field(examples=[52428800])
    used_messages: int = Field(examples=[1200])
    app_passwords: list[AppPassword]
    last_login: float | None = Field(description="To within some minutes.", examples=[1795406400.0])
    created_at: Time
    version: str = Field(examples=["4f2a9c51d0aa"])


class NewAlias(Body):
    """An alias to be made."""

    address: Mail = Field(examples=["info@example.org"])
    targets: list[Mail] = Field(min_length=1, max_length=MAX_TARGETS, examples=[["me@example.org"]])


class AliasChange(Body):
    """All the targets that an alias is to have."""

    targets: list[Mail] = Field(min_length=1, max_length=MAX_TARGETS, examples=[["me@example.org", "you@example.net"]])


class Alias(BaseModel):
    """An address whose mail goes to others."""

    address: str = Field(examples=["info@example.org"])
    targets: list[str] = Field(examples=[["me@example.org"]])
    version: str = Field(examples=["4f2a9c51d0aa"])


class AliasTarget(BaseModel):
    """One target of an alias."""

    address: str = Field(examples=["info@example.org"])
    target: str = Field(examples=["me@example.org"])


class Waiting(BaseModel):
    """One recipient of one entry that isn't finished."""

    entry: str = Field(examples=["01KAR3N5D9T7Q8W2E4R6T8Y0ZA"])
    sender: str = Field(examples=["me@example.org"])
    recipient: str = Field(examples=["you@example.net"])
    lane: str = Field(examples=["relay"])
    state: str = Field(examples=["waiting"])
    since: Time
    attempts: int = Field(examples=[3])
    due: Time
    reason: str = Field(examples=["mx.example.net: 451 4.7.1 come back later"])
    site: str = Field(examples=["mx.example.net"])
    target: str = Field(examples=["you@example.net"])
    message_id: str = Field(examples=["<1@example.org>"])


class Attempt(BaseModel):
    """An attempt that failed for now."""

    model_config = ConfigDict(extra="allow")
    recipient: str = Field(examples=["you@example.net"])
    at: Time
    host: str = Field("", examples=["mx.example.net"])
    address: str = Field("", examples=["192.0.2.25"])
    tls: str = Field("", examples=["TLSv1.3 TLS_AES_256_GCM_SHA384"])
    reply: str = Field("", examples=["451 4.7.1 come back later"])
    seconds: float | None = Field(None, examples=[0.12])


class Entry(BaseModel):
    """An entry that waits: envelope, recipients, attempts, the message's header."""

    entry: str = Field(examples=["01KAR3N5D9T7Q8W2E4R6T8Y0ZA"])
    kind: str = Field(examples=["message"])
    sender: str = Field(examples=["me@example.org"])
    recipients: list[dict[str, str]]
    received_at: Time
    message_id: str = Field(examples=["<1@example.org>"])
    parent: str = Field(examples=[""])
    origin: dict[str, str] = Field(examples=[{"service": "submission", "ip": "192.0.2.7", "protocol": "ESMTPSA"}])
    size: int = Field(examples=[5120])
    segment: str = Field(examples=["2026-11-23/mta-0-01KAR0000000000000000000000-1"])
    waiting: list[Waiting]
    attempts: list[Attempt]
    header: str = Field(examples=["From: me@example.org\r\nSubject: hello"])


class QueueFilter(Body):
    """Which recipients; nothing said: any."""

    state: Literal["", "queued", "waiting", "held"] = Field("", examples=["waiting"])
    lane: Literal["", "delivery", "relay"] = Field("", examples=["relay"])
    site: Text = Field("", examples=["mx.example.net"])
    sender: Text = Field("", description="An address, or @domain.", examples=["@example.org"])
    recipient: Text = Field("", description="An address, or @domain.", examples=["@example.net"])
    reason: Text = Field("", description="A part of it.", examples=["451"])


class QueueAction(Body):
    """What is to be done, and for whom: entries, those that a filter takes, or all."""

    action: Literal["retry", "hold", "release", "drop"] = Field(examples=["retry"])
    entries: list[Text] | None = Field(
        None, min_length=1, max_length=MAX_ENTRIES, examples=[["01KAR3N5D9T7Q8W2E4R6T8Y0ZA"]]
    )
    filter: QueueFilter | None = Field(None, examples=[None])
    all: bool = Field(False, examples=[False])
    bounce: bool = Field(False, description="With `drop`: tell the senders.", examples=[False])


class Acted(BaseModel):
    """How many recipients an action concerned."""

    recipients: int = Field(examples=[1])


class LaneStatistics(BaseModel):
    """A lane's numbers; what Redis counts is null while it is away."""

    lane: str = Field(examples=["relay"])
    queued: int | None = Field(examples=[12])
    leased: int | None = Field(examples=[4])
    waiting: int = Field(examples=[40])
    held: int = Field(examples=[1])
    oldest_age: float = Field(description="Seconds.", examples=[3600.0])


class SiteCount(BaseModel):
    """Recipients that wait for a site."""

    site: str = Field(examples=["mx.example.net"])
    recipients: int = Field(examples=[40])
    oldest_age: float = Field(examples=[3600.0])


class ReasonCount(BaseModel):
    """Recipients that wait for a reason."""

    reason: str = Field(examples=["mx.example.net: 451 4.7.1 come back later"])
    recipients: int = Field(examples=[40])
    oldest_age: float = Field(examples=[3600.0])


class Statistics(BaseModel):
    """How much waits, how long, where and why."""

    lanes: list[LaneStatistics]
    sites: list[SiteCount]
    reasons: list[ReasonCount]
    outcomes_last_hour: dict[str, int] = Field(examples=[{"delivered": 120, "relayed": 60, "bounced": 1}])


class Site(BaseModel):
    """A receiving site: the set of MX hosts of its domains."""

    site: str = Field(examples=["mx.example.net"])
    entries: int = Field(examples=[12])
    oldest: Time
    connections: int = Field(examples=[2])
    max_connections: int = Field(examples=[20])
    backing_off_until: Time
    paused: bool = Field(examples=[False])


class SiteChange(Body):
    """What is to be set for a site."""

    paused: bool | None = Field(None, examples=[True])
    connections: int | None = Field(
        None, ge=0, le=MAX_CONNECTIONS, description="At once, of all relays; 0: the relay's setting.", examples=[5]
    )


class LeasedEntry(BaseModel):
    """An entry that a worker has."""

    entry: str = Field(examples=["01KAR3N5D9T7Q8W2E4R6T8Y0ZA"])
    since_renewal: float = Field(examples=[1.5])


class Worker(BaseModel):
    """A process that reads a lane's queue, with the first hundred entries that it leases."""

    name: str = Field(examples=["mda-0-4711"])
    lane: str = Field(examples=["delivery"])
    alive: bool = Field(examples=[True])
    idle: float = Field(description="Seconds since it last asked for work.", examples=[0.2])
    leases: int = Field(examples=[1])
    entries: list[LeasedEntry]


class LedgerRow(BaseModel):
    """What became of a recipient."""

    entry: str = Field(examples=["01KAR3N5D9T7Q8W2E4R6T8Y0ZA"])
    recipient: str = Field(examples=["me@example.org"])
    target: str = Field(examples=["me@example.org"])
    outcome: str = Field(examples=["delivered"])
    at: Time
    sender: str = Field(examples=["you@example.net"])
    message_id: str = Field(examples=["<1@example.net>"])
    detail: dict[str, Any] = Field(examples=[{"mailbox": "INBOX"}])


class Event(BaseModel):
    """An event of a timeline; further names depend on `what`. `at` is Unix microseconds."""

    model_config = ConfigDict(extra="allow")
    at: int = Field(examples=[1795406400000000])
    entry: str = Field(examples=["01KAR3N5D9T7Q8W2E4R6T8Y0ZA"])
    what: str = Field(examples=["delivered"])


class Rejection(BaseModel):
    """Refused mail."""

    at: Time
    listener: str = Field(examples=["mx"])
    ip: str = Field(examples=["192.0.2.7"])
    helo: str = Field(examples=["client.example.net"])
    tls: str = Field(examples=[""])
    account: str = Field(examples=[""])
    sender: str = Field(examples=["you@example.net"])
    recipient: str = Field(examples=["nobody@example.org"])
    reply: str = Field(examples=["550 5.1.1 nobody@example.org is unknown"])
    count: int = Field(description="Above 1: so many were only counted.", examples=[1])


class AuditRow(BaseModel):
    """A change: who, what, before, after."""

    id: int = Field(examples=[17])
    at: Time
    actor: str = Field(examples=["token:ops"])
    action: str = Field(examples=["account.change"])
    object: str = Field(examples=["me@example.org"])
    before: Any = Field(examples=[{"enabled": True}])
    after: Any = Field(examples=[{"enabled": False}])


class NewToken(Body):
    """A token to be made."""

    name: Name = Field(examples=["ops"])
    scopes: list[Scope] = Field(min_length=1, max_length=20, examples=[["queue:read", "trace:read"]])
    domains: list[Name] = Field([], max_length=100, description="None: all.", examples=[[]])
    days: float = Field(DEFAULT_DAYS, gt=0, le=MAX_DAYS, examples=[90])


class TokenInfo(BaseModel):
    """A token, without its secret."""

    name: str = Field(examples=["ops"])
    scopes: list[str] = Field(examples=[["queue:read"]])
    domains: list[str] = Field(examples=[[]])
    created_at: Time
    expires_at: Time
    used_at: float | None = Field(examples=[None])
    revoked_at: float | None = Field(examples=[None])


class MadeToken(TokenInfo):
    """A token with its secret, which is told once."""

    token: str = Field(examples=["pbt_8s3…"])


def page_of(item: Any, name: str) -> Any:
    """Return the model of a page of items."""
    from pydantic import create_model

    return create_model(
        name,
        items=(list[item], Field()),
        next=(str, Field(description='The cursor of what follows; "" at the end.', examples=[""])),
    )


DomainPage = page_of(Domain, "DomainPage")
AccountPage = page_of(Account, "AccountPage")
AliasPage = page_of(AliasTarget, "AliasPage")
WaitingPage = page_of(Waiting, "WaitingPage")
LedgerPage = page_of(LedgerRow, "LedgerPage")
RejectionPage = page_of(Rejection, "RejectionPage")
AuditPage = page_of(AuditRow, "AuditPage")
