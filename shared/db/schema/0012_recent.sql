-- Up to which UID some session has claimed messages as \Recent (RFC 3501 §2.3.2).

ALTER TABLE mailbox ADD COLUMN claimed BIGINT NOT NULL DEFAULT 0;
UPDATE mailbox SET claimed = uidnext - 1;  -- what was there before isn't recent
