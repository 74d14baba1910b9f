"""Every extension of the language that there is: one table of declarations each."""

from __future__ import annotations

from shared.sieve.declare import Extension
from shared.sieve.extensions import (
    base_actions,
    base_tests,
    body,
    control,
    copy,
    date,
    duplicate,
    editheader,
    enotify,
    envelope,
    environment,
    extlists,
    fcc,
    fileinto,
    foreverypart,
    ihave,
    imap4flags,
    include,
    index,
    mailbox,
    mailboxid,
    mboxmetadata,
    mime_changes,
    mime_tests,
    redirect_dsn,
    regex,
    reject,
    relational,
    spamtest,
    special_use,
    subaddress,
    vacation,
    variables,
)

EXTENSIONS: tuple[Extension, ...] = (
    control.EXTENSION,  # RFC 5228
    base_actions.EXTENSION,
    base_tests.EXTENSION,
    fileinto.EXTENSION,
    envelope.EXTENSION,
    Extension("encoded-character"),  # what strings mean: shared/sieve/template.py
    copy.EXTENSION,  # RFC 3894
    body.EXTENSION,  # RFC 5173
    environment.EXTENSION,  # RFC 5183
    variables.EXTENSION,  # RFC 5229
    vacation.EXTENSION,  # RFC 5230
    vacation.VACATION_SECONDS,  # RFC 6131
    relational.EXTENSION,  # RFC 5231
    imap4flags.EXTENSION,  # RFC 5232
    subaddress.EXTENSION,  # RFC 5233
    spamtest.EXTENSION,  # RFC 5235
    spamtest.SPAMTESTPLUS,
    spamtest.VIRUSTEST,
    date.EXTENSION,  # RFC 5260
    index.EXTENSION,
    editheader.EXTENSION,  # RFC 5293
    reject.EXTENSION,  # RFC 5429
    reject.EREJECT,
    enotify.EXTENSION,  # RFC 5435, 5436
    ihave.EXTENSION,  # RFC 5463
    mailbox.EXTENSION,  # RFC 5490
    mboxmetadata.EXTENSION,
    mboxmetadata.SERVERMETADATA,
    foreverypart.EXTENSION,  # RFC 5703
    mime_tests.EXTENSION,
    mime_changes.REPLACE,
    mime_changes.ENCLOSE,
    mime_changes.EXTRACTTEXT,
    envelope.ENVELOPE_DSN,  # RFC 6009
    envelope.ENVELOPE_DELIVERBY,
    redirect_dsn.EXTENSION,
    redirect_dsn.REDIRECT_DELIVERBY,
    extlists.EXTENSION,  # RFC 6134
    include.EXTENSION,  # RFC 6609
    duplicate.EXTENSION,  # RFC 7352
    special_use.EXTENSION,  # RFC 8579
    fcc.EXTENSION,  # RFC 8580
    mailboxid.EXTENSION,  # RFC 9042
    regex.EXTENSION,  # draft-ietf-sieve-regex
)
