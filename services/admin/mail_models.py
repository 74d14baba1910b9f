"""Requests and answers about users' mail: quarantine, Sieve scripts, retention, targets, mailboxes and rights."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from services.admin.models import TEXT, Body, Name, Text, Time, page_of
from shared.operations.mailboxes import MAX_RIGHTS, MAX_USES
from shared.operations.queue import MAX_ENTRIES
from shared.operations.retention import MAX_DAYS
from shared.operations.scripts import MAX_SCRIPT_BYTES
from shared.operations.targets import DEFAULT_SECONDS, MAX_SECONDS, MAX_WORDS, Way

Mailbox = Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=TEXT)]
Version = Annotated[str, Field(examples=["4f2a9c51d0aa"])]


class KeptBack(BaseModel):
    """A recipient whose mail is kept back."""

    entry: str = Field(examples=["01KAR3N5D9T7Q8W2E4R6T8Y0ZA"])
    recipient: str = Field(examples=["me@example.org"])
    at: Time
    scanner: str = Field(examples=["clamav"])
    reason: str = Field(examples=["clamav: virus Eicar-Signature"])
    sender: str = Field(examples=["you@example.net"])
    subject: str = Field(examples=["hello"])
    size: int = Field(examples=[5120])


class KeptMessage(KeptBack):
    """A message that is kept back: for whom, where it came from, its header."""

    recipients: list[str] = Field(examples=[["me@example.org"]])
    origin: dict[str, str] = Field(examples=[{"service": "mx", "ip": "192.0.2.7", "protocol": "ESMTPS"}])
    header: str = Field(examples=["From: you@example.net\r\nSubject: hello"])


class KeptFilter(Body):
    """Which recipients' mail; each an address, or @domain."""

    sender: Text = Field("", examples=["@example.net"])
    recipient: Text = Field("", examples=["@example.org"])


class KeptAction(Body):
    """What is to be done, and with what: entries, what a filter takes, or all."""

    action: Literal["release", "delete"] = Field(examples=["release"])
    entries: list[Text] | None = Field(
        None, min_length=1, max_length=MAX_ENTRIES, examples=[["01KAR3N5D9T7Q8W2E4R6T8Y0ZA"]]
    )
    filter: KeptFilter | None = Field(None, examples=[None])
    all: bool = Field(False, examples=[False])


class ScriptInfo(BaseModel):
    """A Sieve script, without its content."""

    name: str = Field(examples=["main"])
    active: bool = Field(examples=[True])
    size: int = Field(description="Octets.", examples=[120])
    hash: str = Field(description="SHA-256 of its content.", examples=["9f86d081884c7d659a2feaa0c55ad015"])
    changed_at: Time
    version: Version


class Script(ScriptInfo):
    """A Sieve script with its content."""

    content: str = Field(examples=['require "fileinto";\r\nfileinto "Archive";\r\n'])


class ScriptError(BaseModel):
    """What last went wrong when an account's scripts ran: those messages were kept as if there were none."""

    at: Time
    entry: str = Field(examples=["01KAR3N5D9T7Q8W2E4R6T8Y0ZA"])
    error: str = Field(examples=["main:3:1: there is no script 'other'"])
    count: int = Field(description="Messages since the scripts were changed.", examples=[1])


class Scripts(BaseModel):
    """An owner's scripts."""

    scripts: list[ScriptInfo]
    last_error: ScriptError | None = Field(examples=[None])


class NewScript(Body):
    """A script to be kept; `active`: make it the active one, or none; null: as it was."""

    content: str = Field(
        max_length=MAX_SCRIPT_BYTES, pattern=r"^[^\x00]*$", examples=['require "fileinto";\r\nfileinto "Archive";\r\n']
    )
    active: bool | None = Field(None, examples=[True])


class ScriptChange(Body):
    """What is to be set of a script."""

    name: Name | None = Field(None, examples=["other"])
    active: bool | None = Field(None, examples=[True])


class Rule(BaseModel):
    """How long messages stay in a mailbox."""

    account: str = Field(description='"": all accounts.', examples=["me@example.org"])
    mailbox: str = Field(description="A name, or a special use.", examples=["\\Trash"])
    days: int = Field(description="0: for ever.", examples=[30])
    version: Version


class NewRule(Body):
    """Days that messages are to stay."""

    days: int = Field(ge=0, le=MAX_DAYS, description="0: for ever.", examples=[30])


class Undelete(Body):
    """What is to come back."""

    since: float = Field(0, ge=0, le=1e11, description="Expunged since then, Unix seconds.", examples=[1795406400.0])
    mailbox: Text = Field("", description='Only what was in this mailbox; "": any.', examples=["INBOX"])


class Restored(BaseModel):
    """Messages of a mailbox that come back."""

    mailbox: str = Field(examples=["INBOX"])
    messages: int = Field(examples=[3])


class NewTarget(Body):
    """Where mail is to go; `place` is a path, HOST:PORT, or a program's words; for `store` nothing."""

    kind: Way = Field(examples=["lmtp"])
    place: list[Annotated[str, StringConstraints(max_length=4096, pattern=r"^[^\x00]*$")]] = Field(
        [], max_length=MAX_WORDS, examples=[["10.0.0.7:24"]]
    )
    seconds: int = Field(DEFAULT_SECONDS, ge=1, le=MAX_SECONDS, description="For one delivery.", examples=[60])


class Target(BaseModel):
    """Where mail of an account (its address) or of a domain's others goes."""

    whose: str = Field(examples=["me@example.org"])
    kind: str = Field(examples=["lmtp"])
    place: list[str] = Field(examples=[["10.0.0.7:24"]])
    seconds: int = Field(examples=[60])
    version: Version


class MailboxInfo(BaseModel):
    """A mailbox, or (`exists` is false) a name that only is the parent of others."""

    name: str = Field(examples=["Projects/Boat"])
    exists: bool = Field(examples=[True])
    messages: int = Field(examples=[12])
    unseen: int = Field(examples=[1])
    bytes: int = Field(examples=[52480])
    special_use: str = Field(examples=[""])
    version: Version


class NewMailbox(Body):
    """A mailbox to be made, with the ones above it that aren't there."""

    name: Mailbox = Field(examples=["Projects/Boat"])
    uses: list[Text] = Field([], max_length=MAX_USES, description="Special uses.", examples=[["\\Archive"]])


class MailboxChange(Body):
    """Its new name; what is below it moves along."""

    name: Mailbox = Field(examples=["Projects/Ship"])


class Rights(BaseModel):
    """What somebody may do in a mailbox (RFC 4314)."""

    identifier: str = Field(description="An address, @domain or anyone; - takes away.", examples=["ann@example.org"])
    rights: str = Field(examples=["lrs"])
    version: Version


class NewRights(Body):
    """What somebody is to be allowed; with + or - before the letters, more or less than now."""

    rights: str = Field(min_length=1, max_length=MAX_RIGHTS, pattern=TEXT, examples=["lrs"])


KeptPage = page_of(KeptBack, "KeptPage")
RulePage = page_of(Rule, "RulePage")
TargetPage = page_of(Target, "TargetPage")
