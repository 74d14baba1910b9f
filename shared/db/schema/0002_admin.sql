-- What the operator's API needs. Times are Unix microseconds.

CREATE TABLE token (
  id @identity@,
  name TEXT NOT NULL UNIQUE,
  hash TEXT NOT NULL UNIQUE,                        -- SHA-256 of 256 random bits: nothing to guess, no salt
  scopes TEXT NOT NULL,                             -- space-joined
  domains TEXT NOT NULL DEFAULT '',                 -- space-joined; '' = all, else a domain administrator's
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  used_at BIGINT,
  revoked_at BIGINT
);

CREATE TABLE audit (
  id @identity@,
  at BIGINT NOT NULL,
  actor TEXT NOT NULL,                              -- token:<name> or cli:<user>
  action TEXT NOT NULL,                             -- account.change, queue.drop, …
  object TEXT NOT NULL,
  before TEXT NOT NULL,                             -- JSON, null where it didn't exist; never a password
  after TEXT NOT NULL
);
CREATE INDEX audit_at ON audit (at);

CREATE TABLE idempotency (
  token TEXT NOT NULL,
  key TEXT NOT NULL,
  fingerprint TEXT NOT NULL,                        -- of the request without its secrets
  body TEXT NOT NULL,                               -- what was answered, without secrets
  at BIGINT NOT NULL,
  PRIMARY KEY (token, key)
) @clustered@;
CREATE INDEX idempotency_at ON idempotency (at);

-- Mail that was refused, as far as the caps let it be written down.
CREATE TABLE rejection (
  id @identity@,
  at BIGINT NOT NULL,
  listener TEXT NOT NULL,
  ip TEXT NOT NULL,                                 -- a network where several clients are counted together
  helo TEXT NOT NULL,
  tls TEXT NOT NULL,
  account TEXT NOT NULL,
  sender TEXT NOT NULL,
  recipient TEXT NOT NULL,
  reply TEXT NOT NULL,
  count BIGINT NOT NULL                             -- above 1: so many were only counted
);
CREATE INDEX rejection_at ON rejection (at);
CREATE INDEX rejection_sender ON rejection (sender, at);
CREATE INDEX rejection_recipient ON rejection (recipient, at);

-- Attempts of the relay that ended in a deferral; the last attempt is in the ledger's detail.
CREATE TABLE attempt (
  id @identity@,
  entry TEXT NOT NULL,
  recipient TEXT NOT NULL,
  at BIGINT NOT NULL,
  detail TEXT NOT NULL                              -- JSON: site, host, address, tls, reply, seconds
);
CREATE INDEX attempt_entry ON attempt (entry);
CREATE INDEX attempt_at ON attempt (at);

-- What the operator set for a receiving site.
CREATE TABLE throttle (
  site TEXT NOT NULL PRIMARY KEY,
  connections BIGINT NOT NULL DEFAULT 0,            -- at once, of all relay replicas; 0 = the relay's setting
  paused SMALLINT NOT NULL DEFAULT 0,
  changed_at BIGINT NOT NULL
);

CREATE TABLE login (
  account_id BIGINT NOT NULL PRIMARY KEY REFERENCES account (id) ON DELETE CASCADE,
  at BIGINT NOT NULL                                -- the last one, to within some minutes
);

CREATE INDEX pending_site ON pending (site, entry, recipient, target);
CREATE INDEX pending_held ON pending (entry, recipient, target) WHERE held = 1;
CREATE INDEX pending_recipient ON pending (recipient, entry, target);
CREATE INDEX pending_sender ON pending (sender, entry, recipient, target);
CREATE INDEX alias_domain ON alias (domain_id);
