-- What operators ask and change beside the directory (shared/operations).

-- name: insert_audit
INSERT INTO audit (at, actor, action, object, before, after)
VALUES (:at, :actor, :action, :object, :before, :after)

-- name: idempotent
SELECT fingerprint, body FROM idempotency WHERE token = :token AND key = :key

-- name: insert_idempotent
INSERT INTO idempotency (token, key, fingerprint, body, at) VALUES (:token, :key, :fingerprint, :body, :at)

-- name: tokens
SELECT name, scopes, domains, created_at, expires_at, used_at, revoked_at FROM token ORDER BY name

-- name: token_by_hash
SELECT id, name, scopes, domains, expires_at, revoked_at, used_at FROM token WHERE hash = :hash

-- name: insert_token
INSERT INTO token (name, hash, scopes, domains, created_at, expires_at)
VALUES (:name, :hash, :scopes, :domains, :now, :expires_at) ON CONFLICT DO NOTHING RETURNING id

-- name: revoke_token
UPDATE token SET revoked_at = :now WHERE name = :name AND revoked_at IS NULL RETURNING id

-- name: use_token
UPDATE token SET used_at = :now WHERE id = :id

-- name: lock_account
SELECT id FROM account WHERE address = :address AND removed_at IS NULL @for_update@

-- name: lock_domain
SELECT id FROM domain WHERE name = :name @for_update@

-- name: account_view
SELECT a.id, a.address, a.enabled, a.quota_bytes, a.quota_messages, a.used_bytes, a.used_messages,
  a.created_at, l.at AS login_at
FROM account a LEFT JOIN login l ON l.account_id = a.id WHERE a.address = :address AND a.removed_at IS NULL

-- name: credentials_of
SELECT account_id, name, created_at FROM credential WHERE account_id IN (:accounts...) ORDER BY account_id, name

-- name: insert_credential
INSERT INTO credential (account_id, name, hash, created_at) VALUES (:account_id, :name, :hash, :now)
ON CONFLICT DO NOTHING RETURNING id

-- name: delete_credential
DELETE FROM credential WHERE account_id = :account_id AND name = :name RETURNING id

-- name: domain_view
SELECT d.id, d.name, d.catchall, d.postmaster, d.created_at, t.name AS alias_of,
  (SELECT count(*) FROM account a WHERE a.domain_id = d.id AND a.removed_at IS NULL) AS accounts,
  (SELECT count(*) FROM alias a WHERE a.domain_id = d.id) AS aliases
FROM domain d LEFT JOIN domain t ON t.id = d.alias_of WHERE d.name = :name

-- name: alias_view
SELECT target, created_at FROM alias WHERE address = :address ORDER BY id

-- name: pending_of_entries
SELECT p.*, s.name AS segment FROM pending p JOIN segment s ON s.id = p.segment_id
WHERE p.entry IN (:entries...) ORDER BY p.entry, p.recipient, p.target

-- name: make_due
UPDATE pending SET due_at = :now, held = 0 WHERE entry = :entry AND recipient = :recipient AND target = :target

-- name: hold
UPDATE pending SET held = 1 WHERE entry = :entry AND recipient = :recipient AND target = :target

-- name: insert_held
INSERT INTO pending (entry, recipient, target, lane, segment_id, position, length, body, inline_size, size, large,
  due_at, first_at, held, reason, sender, message_id)
VALUES :rows... ON CONFLICT DO NOTHING RETURNING entry

-- name: give_up
INSERT INTO ledger (entry, recipient, target, outcome, at, sender, message_id, detail)
VALUES (:entry, :recipient, :target, :outcome, :at, :sender, :message_id, :detail)
ON CONFLICT DO NOTHING RETURNING entry

-- name: delete_pending
DELETE FROM pending WHERE entry = :entry AND recipient = :recipient AND target = :target

-- name: recorded
SELECT entry, recipient FROM ledger WHERE entry IN (:entries...)
UNION SELECT entry, recipient FROM pending WHERE entry IN (:waiting...)

-- name: pending_totals
SELECT lane, held, count(*) AS recipients, min(first_at) AS oldest FROM pending GROUP BY lane, held

-- name: pending_by_site
SELECT site, count(*) AS recipients, min(first_at) AS oldest FROM pending
GROUP BY site ORDER BY count(*) DESC, site LIMIT :limit

-- name: pending_by_reason
SELECT reason, count(*) AS recipients, min(first_at) AS oldest FROM pending
GROUP BY reason ORDER BY count(*) DESC, reason LIMIT :limit

-- name: outcomes_since
SELECT outcome, count(*) AS number FROM ledger WHERE entry >= :since GROUP BY outcome

-- name: throttles
SELECT site, connections, paused, changed_at FROM throttle ORDER BY site

-- name: throttle
SELECT site, connections, paused, changed_at FROM throttle WHERE site = :site

-- name: set_throttle
INSERT INTO throttle (site, connections, paused, changed_at) VALUES (:site, :connections, :paused, :now)
ON CONFLICT (site) DO UPDATE SET connections = excluded.connections, paused = excluded.paused,
  changed_at = excluded.changed_at

-- name: delete_throttle
DELETE FROM throttle WHERE site = :site

-- name: insert_rejections
INSERT INTO rejection (at, listener, ip, helo, tls, account, sender, recipient, reply, count) VALUES :rows...

-- name: rejections_of
SELECT * FROM (
  SELECT * FROM rejection WHERE recipient = :address UNION SELECT * FROM rejection WHERE sender = :address
) AS found ORDER BY at DESC, id DESC LIMIT :limit

-- name: attempts_of
SELECT entry, recipient, at, detail FROM attempt WHERE entry IN (:entries...) ORDER BY at, id

-- name: prune_rejections
DELETE FROM rejection WHERE id IN (SELECT id FROM rejection WHERE at < :before ORDER BY at LIMIT :limit) RETURNING id

-- name: prune_attempts
DELETE FROM attempt WHERE id IN (SELECT id FROM attempt WHERE at < :before ORDER BY at LIMIT :limit) RETURNING id

-- name: prune_idempotency
DELETE FROM idempotency WHERE at < :before

-- name: prune_audit
DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < :before ORDER BY at LIMIT :limit) RETURNING id

-- name: old_ledger
-- A row of an entry that still waits for another recipient says that this one is done: it stays.
SELECT l.entry, l.recipient, l.target FROM ledger l
WHERE l.entry < :bound AND l.at < :before AND NOT EXISTS (SELECT 1 FROM pending p WHERE p.entry = l.entry)
ORDER BY l.entry LIMIT :limit

-- name: delete_ledger
DELETE FROM ledger WHERE entry = :entry AND recipient = :recipient AND target = :target
