-- The first schema. Times are Unix microseconds unless the column says otherwise; flags and
-- other small sets are integers; bytes that come from mail are @bytes@, never text.

CREATE TABLE domain (
  id @identity@,
  name TEXT NOT NULL UNIQUE,                        -- lower case A-labels
  alias_of BIGINT REFERENCES domain (id),           -- mail for it goes to the same local part there
  catchall TEXT NOT NULL DEFAULT '',                -- address for unknown local parts
  postmaster TEXT NOT NULL DEFAULT '',              -- '' = the domain's first account
  created_at BIGINT NOT NULL
);

CREATE TABLE account (
  id @identity@,
  domain_id BIGINT NOT NULL REFERENCES domain (id),
  address TEXT NOT NULL UNIQUE,                     -- Address.key
  enabled SMALLINT NOT NULL DEFAULT 1,
  quota_bytes BIGINT NOT NULL DEFAULT 0,            -- 0 = no limit
  used_bytes BIGINT NOT NULL DEFAULT 0,
  used_messages BIGINT NOT NULL DEFAULT 0,
  uidvalidity BIGINT NOT NULL DEFAULT 0,            -- the last one that a mailbox was given: never given again
  created_at BIGINT NOT NULL,
  removed_at BIGINT                                 -- kept mail of a removed account: address is renamed
);
CREATE INDEX account_domain ON account (domain_id);

CREATE TABLE alias (
  id @identity@,
  domain_id BIGINT NOT NULL REFERENCES domain (id),
  address TEXT NOT NULL,                            -- Address.key
  target TEXT NOT NULL,                             -- an address, local or not
  created_at BIGINT NOT NULL,
  UNIQUE (address, target)
);

CREATE TABLE credential (
  id @identity@,
  account_id BIGINT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  name TEXT NOT NULL,                               -- 'password', or an app password's name
  hash TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  UNIQUE (account_id, name)
);

CREATE TABLE segment (
  id @identity@,
  name TEXT NOT NULL UNIQUE,                        -- <yyyy-mm-dd>/<writer>-<n>
  state TEXT NOT NULL,                              -- open | sealed | settled | rewritten
  kind TEXT NOT NULL DEFAULT 'journal',             -- journal | compacted: the latter is never enqueued from
  length BIGINT NOT NULL DEFAULT 0,                 -- bytes, once sealed
  unlink_after BIGINT                               -- of a rewritten one
);
CREATE INDEX segment_state ON segment (state);

CREATE TABLE blob (
  id @identity@,
  entry TEXT NOT NULL UNIQUE,
  segment_id BIGINT NOT NULL REFERENCES segment (id),
  position BIGINT NOT NULL,                         -- these seven are a journal Reference
  length BIGINT NOT NULL,
  body BIGINT NOT NULL,
  inline_size BIGINT NOT NULL,
  size BIGINT NOT NULL,
  large TEXT NOT NULL DEFAULT '',
  header_size BIGINT NOT NULL,                      -- octets up to and with the empty line
  sent_at BIGINT,                                   -- the Date field, Unix seconds
  sent_day BIGINT,                                  -- days since 1970-01-01 by the sender's calendar: SENTSINCE
  envelope @bytes@ NOT NULL,                        -- IMAP ENVELOPE, as sent
  bodystructure @bytes@ NOT NULL,                   -- IMAP BODYSTRUCTURE, as sent
  imap_body @bytes@ NOT NULL,                       -- IMAP BODY, as sent
  parts @bytes@ NOT NULL,                           -- offsets of the MIME parts (shared.message.rendered)
  preview TEXT NOT NULL DEFAULT '',                 -- RFC 8970
  message_id TEXT NOT NULL DEFAULT '',
  subject TEXT NOT NULL DEFAULT '',
  refs TEXT NOT NULL DEFAULT ''                     -- message ids it refers to, space-joined, bounded
);
CREATE INDEX blob_segment ON blob (segment_id);
CREATE INDEX blob_large ON blob (large) WHERE large <> '';

CREATE TABLE mailbox (
  id @identity@,
  account_id BIGINT NOT NULL REFERENCES account (id),
  name TEXT NOT NULL,                               -- UTF-8, hierarchy separator /
  uidvalidity BIGINT NOT NULL,
  uidnext BIGINT NOT NULL DEFAULT 1,
  modseq BIGINT NOT NULL DEFAULT 1,                 -- highest; max(last + 1, microseconds now)
  messages BIGINT NOT NULL DEFAULT 0,
  unseen BIGINT NOT NULL DEFAULT 0,
  deleted BIGINT NOT NULL DEFAULT 0,                -- flagged \Deleted
  bytes BIGINT NOT NULL DEFAULT 0,
  special_use TEXT NOT NULL DEFAULT '',             -- RFC 6154: \Sent, \Junk, …
  expunge_modseq BIGINT NOT NULL DEFAULT 0,         -- expunges up to this one are no longer remembered
  created_at BIGINT NOT NULL,
  UNIQUE (account_id, name)
);

CREATE TABLE keyword (
  mailbox_id BIGINT NOT NULL REFERENCES mailbox (id) ON DELETE CASCADE,
  bit SMALLINT NOT NULL,                            -- 8..62 of message.flags
  name TEXT NOT NULL,
  PRIMARY KEY (mailbox_id, bit),
  UNIQUE (mailbox_id, name)
) @clustered@;

CREATE TABLE subscription (
  account_id BIGINT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  PRIMARY KEY (account_id, name)
) @clustered@;

CREATE TABLE message (
  mailbox_id BIGINT NOT NULL REFERENCES mailbox (id),
  uid BIGINT NOT NULL,
  blob_id BIGINT NOT NULL REFERENCES blob (id),
  modseq BIGINT NOT NULL,
  flags BIGINT NOT NULL DEFAULT 0,                  -- shared.imap.flags
  internal_date BIGINT NOT NULL,                    -- Unix seconds
  saved_at BIGINT NOT NULL,                         -- Unix seconds, RFC 8514
  size BIGINT NOT NULL,                             -- prefix and record: RFC822.SIZE
  prefix @bytes@ NOT NULL,                          -- header fields that this recipient adds
  expunged_at BIGINT,
  PRIMARY KEY (mailbox_id, uid)
) @clustered@;
CREATE INDEX message_modseq ON message (mailbox_id, modseq);
CREATE INDEX message_blob ON message (blob_id);
CREATE INDEX message_expunged ON message (expunged_at) WHERE expunged_at IS NOT NULL;

-- What became of each recipient; a recipient that was expanded has a row for each target.
CREATE TABLE ledger (
  entry TEXT NOT NULL,
  recipient TEXT NOT NULL,
  target TEXT NOT NULL,
  outcome TEXT NOT NULL,                            -- delivered | relayed | redirected | bounced | discarded | dropped | failed
  at BIGINT NOT NULL,
  sender TEXT NOT NULL DEFAULT '',
  message_id TEXT NOT NULL DEFAULT '',
  detail TEXT NOT NULL DEFAULT '',                  -- JSON: mailbox, uid, host, reply, child, attempts, …
  PRIMARY KEY (entry, recipient, target)
) @clustered@;
CREATE INDEX ledger_recipient ON ledger (lower(recipient), at);  -- envelopes keep the capitals that were written
CREATE INDEX ledger_sender ON ledger (lower(sender), at);
CREATE INDEX ledger_message_id ON ledger (message_id);

-- What waits for another attempt, or for the operator.
CREATE TABLE pending (
  entry TEXT NOT NULL,
  recipient TEXT NOT NULL,
  target TEXT NOT NULL,
  lane TEXT NOT NULL,
  segment_id BIGINT NOT NULL REFERENCES segment (id),
  position BIGINT NOT NULL,
  length BIGINT NOT NULL,
  body BIGINT NOT NULL,
  inline_size BIGINT NOT NULL,
  size BIGINT NOT NULL,
  large TEXT NOT NULL DEFAULT '',
  due_at BIGINT NOT NULL,
  first_at BIGINT NOT NULL,                         -- acceptance: the message expires counting from it
  attempts BIGINT NOT NULL DEFAULT 0,
  warned SMALLINT NOT NULL DEFAULT 0,               -- a delay notification has been sent
  held SMALLINT NOT NULL DEFAULT 0,                 -- waits for the operator
  site TEXT NOT NULL DEFAULT '',
  reason TEXT NOT NULL DEFAULT '',                  -- the reply or error of the last attempt
  sender TEXT NOT NULL DEFAULT '',
  message_id TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (entry, recipient, target)
) @clustered@;
CREATE INDEX pending_due ON pending (due_at);
CREATE INDEX pending_segment ON pending (segment_id);
