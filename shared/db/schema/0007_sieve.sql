-- Sieve: scripts, what they remember, what went wrong. Times are Unix microseconds.

CREATE TABLE script (
  id @identity@,
  account_id BIGINT REFERENCES account (id) ON DELETE CASCADE,
  domain_id BIGINT REFERENCES domain (id) ON DELETE CASCADE,  -- neither account nor domain: the system's
  place TEXT NOT NULL,                              -- personal (an account's) | before | after (them)
  name TEXT NOT NULL,                               -- NFC, RFC 5804 §1.6
  active SMALLINT NOT NULL DEFAULT 0,
  hash TEXT NOT NULL,                               -- SHA-256 of the content
  size BIGINT NOT NULL,                             -- octets
  content @bytes@ NOT NULL,
  created_at BIGINT NOT NULL,
  changed_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX script_of_account ON script (account_id, name) WHERE account_id IS NOT NULL;
CREATE UNIQUE INDEX script_of_domain ON script (domain_id, place, name) WHERE domain_id IS NOT NULL;
CREATE UNIQUE INDEX script_of_system ON script (place, name) WHERE account_id IS NULL AND domain_id IS NULL;
CREATE UNIQUE INDEX script_active ON script (account_id) WHERE active = 1 AND account_id IS NOT NULL;

-- What vacation has answered and duplicate has seen, until it expires.
CREATE TABLE sieve_memory (
  account_id BIGINT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  kind TEXT NOT NULL,                               -- vacation | duplicate
  key TEXT NOT NULL,
  claimant TEXT NOT NULL,                           -- the entry and recipient that it is from: a repeat may go on
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (account_id, kind, key)
) @clustered@;
CREATE INDEX sieve_memory_expiry ON sieve_memory (expires_at);

-- The last error of an account's scripts, and how many there were since they were last changed.
CREATE TABLE sieve_error (
  account_id BIGINT NOT NULL PRIMARY KEY REFERENCES account (id) ON DELETE CASCADE,
  at BIGINT NOT NULL,
  entry TEXT NOT NULL,
  script TEXT NOT NULL,
  line BIGINT NOT NULL,
  col BIGINT NOT NULL,
  message TEXT NOT NULL,
  count BIGINT NOT NULL
);

-- What reverse-paths of redirected mail are signed with: the newest signs, all verify.
CREATE TABLE srs_key (
  id @identity@,
  key TEXT NOT NULL,                                -- 256 random bits, hexadecimal
  created_at BIGINT NOT NULL
);

-- Senders whose address would be too long rewritten: the reverse-path has the token instead.
CREATE TABLE srs_sender (
  token TEXT NOT NULL PRIMARY KEY,
  address TEXT NOT NULL,
  used_at BIGINT NOT NULL
) @clustered@;
CREATE INDEX srs_sender_used ON srs_sender (used_at);
