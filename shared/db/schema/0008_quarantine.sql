-- Mail that scanners or filters kept back: each row has a held one in `pending`, which keeps its bytes alive.

CREATE TABLE quarantine (
  entry TEXT NOT NULL,
  recipient TEXT NOT NULL,
  at BIGINT NOT NULL,                               -- Unix microseconds
  scanner TEXT NOT NULL,
  reason TEXT NOT NULL,
  sender TEXT NOT NULL DEFAULT '',
  subject TEXT NOT NULL DEFAULT '',
  size BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (entry, recipient)
) @clustered@;
CREATE INDEX quarantine_at ON quarantine (at, entry, recipient);
