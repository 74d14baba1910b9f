-- Shared mailboxes, annotations, and a quota of messages. Times are Unix microseconds.

ALTER TABLE account ADD COLUMN quota_messages BIGINT NOT NULL DEFAULT 0;  -- 0 = no limit

-- Who may do what in a mailbox of another account (RFC 4314); its owner always may do everything.
CREATE TABLE acl (
  mailbox_id BIGINT NOT NULL REFERENCES mailbox (id) ON DELETE CASCADE,
  identifier TEXT NOT NULL,                         -- address of an account or alias, @domain or anyone; -… takes away
  rights TEXT NOT NULL,                             -- letters of lrswipkxtea
  PRIMARY KEY (mailbox_id, identifier)
) @clustered@;
CREATE INDEX acl_identifier ON acl (identifier);
CREATE INDEX alias_target ON alias (lower(target)); -- the groups that an account is in

-- Annotations of mailboxes (RFC 5464); a row without a value says when the entry went.
CREATE TABLE mailbox_metadata (
  mailbox_id BIGINT NOT NULL REFERENCES mailbox (id) ON DELETE CASCADE,
  account_id BIGINT NOT NULL,                       -- whose private entry it is; 0 = shared
  entry TEXT NOT NULL,                              -- lower case, with /private or /shared
  value @bytes@,
  changed_at BIGINT NOT NULL,
  PRIMARY KEY (mailbox_id, account_id, entry)
) @clustered@;

-- Annotations of the server, which are each account's own.
CREATE TABLE account_metadata (
  account_id BIGINT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  entry TEXT NOT NULL,
  value @bytes@,
  changed_at BIGINT NOT NULL,
  PRIMARY KEY (account_id, entry)
) @clustered@;
