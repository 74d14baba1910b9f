-- Sieve scripts of accounts, domains and the system; an owner's other two columns are NULL.

-- name: lock_account
SELECT id FROM account WHERE id = :id @for_update@

-- name: lock_domain
SELECT id FROM domain WHERE id = :id @for_update@

-- name: of_account
SELECT id, place, name, active, hash, size, created_at, changed_at FROM script
WHERE account_id = :id AND place = :place ORDER BY name

-- name: of_domain
SELECT id, place, name, active, hash, size, created_at, changed_at FROM script
WHERE domain_id = :id AND place = :place ORDER BY name

-- name: of_system
SELECT id, place, name, active, hash, size, created_at, changed_at FROM script
WHERE account_id IS NULL AND domain_id IS NULL AND place = :place ORDER BY name

-- name: contents
SELECT id, hash, content FROM script WHERE id IN (:ids...)

-- name: insert
INSERT INTO script (account_id, domain_id, place, name, hash, size, content, created_at, changed_at)
VALUES (:account_id, :domain_id, :place, :name, :hash, :size, :content, :now, :now)

-- name: replace
UPDATE script SET hash = :hash, size = :size, content = :content, changed_at = :now WHERE id = :id

-- name: rename
UPDATE script SET name = :name, changed_at = :now WHERE id = :id

-- name: delete
DELETE FROM script WHERE id = :id

-- name: set_active
UPDATE script SET active = :active WHERE id = :id

-- name: error_of
SELECT at, entry, script, line, col, message, count FROM sieve_error WHERE account_id = :account_id

-- name: forget_error
DELETE FROM sieve_error WHERE account_id = :account_id

-- name: note_error
INSERT INTO sieve_error (account_id, at, entry, script, line, col, message, count)
VALUES (:account_id, :at, :entry, :script, :line, :col, :message, 1)
ON CONFLICT (account_id) DO UPDATE SET at = excluded.at, entry = excluded.entry, script = excluded.script,
  line = excluded.line, col = excluded.col, message = excluded.message, count = sieve_error.count + 1

-- What the MDA asks for a batch

-- name: active_of
SELECT account_id, id, 'account' AS level, place, name, hash FROM script
WHERE account_id IN (:accounts...) AND active = 1
UNION ALL
SELECT a.id AS account_id, s.id, 'domain' AS level, s.place, s.name, s.hash
FROM account a JOIN script s ON s.domain_id = a.domain_id WHERE a.id IN (:accounts...) AND s.active = 1
UNION ALL
SELECT 0 AS account_id, id, 'system' AS level, place, name, hash FROM script
WHERE account_id IS NULL AND domain_id IS NULL AND active = 1

-- name: library_of
SELECT account_id, id, 'account' AS level, place, name, hash FROM script WHERE account_id IN (:accounts...)
UNION ALL
SELECT a.id AS account_id, s.id, 'domain' AS level, s.place, s.name, s.hash
FROM account a JOIN script s ON s.domain_id = a.domain_id WHERE a.id IN (:accounts...)
UNION ALL
SELECT 0 AS account_id, id, 'system' AS level, place, name, hash FROM script
WHERE account_id IS NULL AND domain_id IS NULL

-- name: annotations_of
SELECT m.account_id, m.name, x.entry, x.value FROM mailbox m JOIN mailbox_metadata x ON x.mailbox_id = m.id
WHERE m.account_id IN (:accounts...) AND x.account_id IN (0, m.account_id) AND x.value IS NOT NULL
UNION ALL
SELECT account_id, '' AS name, entry, value FROM account_metadata
WHERE account_id IN (:accounts...) AND value IS NOT NULL

-- name: aliases_of
SELECT address, lower(target) AS target FROM alias WHERE lower(target) IN (:addresses...)

-- Memory

-- name: remembered
SELECT account_id, key, claimant FROM sieve_memory
WHERE account_id IN (:accounts...) AND kind = :kind AND key IN (:keys...) AND expires_at > :now

-- name: claim
INSERT INTO sieve_memory (account_id, kind, key, claimant, expires_at) VALUES :rows...
ON CONFLICT (account_id, kind, key) DO UPDATE SET claimant = excluded.claimant, expires_at = excluded.expires_at
WHERE sieve_memory.expires_at <= :now OR sieve_memory.claimant = excluded.claimant
RETURNING account_id, kind, key

-- name: refresh
UPDATE sieve_memory SET expires_at = :expires_at WHERE account_id = :account_id AND kind = :kind AND key = :key

-- name: prune_memory
DELETE FROM sieve_memory WHERE (account_id, kind, key) IN (
  SELECT account_id, kind, key FROM sieve_memory WHERE expires_at < :before ORDER BY expires_at LIMIT :limit)
RETURNING key

-- Sender rewriting

-- name: srs_keys
SELECT key FROM srs_key ORDER BY id DESC LIMIT 5

-- name: insert_srs_key
INSERT INTO srs_key (key, created_at) SELECT :key, :now WHERE NOT EXISTS (SELECT 1 FROM srs_key)

-- name: keep_srs_sender
INSERT INTO srs_sender (token, address, used_at) VALUES (:token, :address, :now)
ON CONFLICT (token) DO UPDATE SET used_at = excluded.used_at

-- name: srs_sender
SELECT address FROM srs_sender WHERE token = :token

-- name: prune_srs_senders
DELETE FROM srs_sender WHERE token IN (
  SELECT token FROM srs_sender WHERE used_at < :before ORDER BY used_at LIMIT :limit) RETURNING token
