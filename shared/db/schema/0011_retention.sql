-- How long messages stay in mailboxes, counted from when they came into them.

CREATE TABLE retention (
  id @identity@,
  account_id BIGINT REFERENCES account (id) ON DELETE CASCADE,  -- none: all accounts
  mailbox TEXT NOT NULL,                            -- a name, or a special use: \Trash, \Junk, …
  days BIGINT NOT NULL,                             -- 0 = for ever
  changed_at BIGINT NOT NULL                        -- Unix microseconds
);
CREATE UNIQUE INDEX retention_of_account ON retention (account_id, mailbox) WHERE account_id IS NOT NULL;
CREATE UNIQUE INDEX retention_of_all ON retention (mailbox) WHERE account_id IS NULL;
