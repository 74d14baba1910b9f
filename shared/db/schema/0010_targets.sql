-- Where mail of an account or a domain goes instead of its mailboxes. Times are Unix microseconds.

CREATE TABLE target (
  id @identity@,
  account_id BIGINT REFERENCES account (id) ON DELETE CASCADE,
  domain_id BIGINT REFERENCES domain (id) ON DELETE CASCADE,  -- of all accounts without one of their own
  kind TEXT NOT NULL,                               -- store | maildir | mbox | lmtp | command
  place TEXT NOT NULL,                              -- a path, HOST:PORT, or a command's words as JSON
  seconds BIGINT NOT NULL,                          -- time that one delivery may take
  changed_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX target_of_account ON target (account_id) WHERE account_id IS NOT NULL;
CREATE UNIQUE INDEX target_of_domain ON target (domain_id) WHERE domain_id IS NOT NULL;
