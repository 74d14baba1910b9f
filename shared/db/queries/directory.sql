-- name: domain_by_name
SELECT d.id, d.name, d.catchall, d.postmaster, t.name AS alias_of
FROM domain d LEFT JOIN domain t ON t.id = d.alias_of WHERE d.name = :name

-- name: domains
SELECT d.id, d.name, d.catchall, d.postmaster, t.name AS alias_of,
  (SELECT count(*) FROM account a WHERE a.domain_id = d.id AND a.removed_at IS NULL) AS accounts
FROM domain d LEFT JOIN domain t ON t.id = d.alias_of ORDER BY d.name

-- name: insert_domain
INSERT INTO domain (name, alias_of, catchall, postmaster, created_at)
VALUES (:name, :alias_of, '', '', :now) ON CONFLICT DO NOTHING RETURNING id

-- name: set_catchall
UPDATE domain SET catchall = :target WHERE name = :name RETURNING id

-- name: set_postmaster
UPDATE domain SET postmaster = :target WHERE name = :name RETURNING id

-- name: domain_in_use
SELECT (SELECT count(*) FROM account WHERE domain_id = :id) AS accounts,
  (SELECT count(*) FROM alias WHERE domain_id = :id) AS aliases,
  (SELECT count(*) FROM domain WHERE alias_of = :id) AS domains

-- name: delete_domain
DELETE FROM domain WHERE id = :id RETURNING id

-- name: account_by_address
SELECT id, address, enabled, quota_bytes, used_bytes, used_messages, quota_messages FROM account
WHERE address = :address AND removed_at IS NULL

-- name: account_by_id
SELECT id, address, enabled, quota_bytes, used_bytes, used_messages, quota_messages FROM account
WHERE id = :id AND removed_at IS NULL

-- name: first_account
SELECT address FROM account WHERE domain_id = :domain_id AND removed_at IS NULL ORDER BY id LIMIT 1

-- name: accounts
SELECT a.id, a.address, a.enabled, a.quota_bytes, a.used_bytes, a.used_messages, a.quota_messages
FROM account a
JOIN domain d ON d.id = a.domain_id
WHERE a.removed_at IS NULL AND (:domain = '' OR d.name = :domain) ORDER BY a.address

-- name: insert_account
INSERT INTO account (domain_id, address, quota_bytes, created_at)
VALUES (:domain_id, :address, :quota, :now) ON CONFLICT DO NOTHING RETURNING id

-- name: set_enabled
UPDATE account SET enabled = :enabled WHERE address = :address AND removed_at IS NULL RETURNING id

-- name: set_quota
UPDATE account SET quota_bytes = :quota WHERE address = :address AND removed_at IS NULL RETURNING id

-- name: set_quota_messages
UPDATE account SET quota_messages = :quota WHERE address = :address AND removed_at IS NULL RETURNING id

-- name: retire_account
UPDATE account SET address = :kept, removed_at = :now, enabled = 0 WHERE id = :id

-- name: delete_account
DELETE FROM account WHERE id = :id

-- name: delete_account_messages
DELETE FROM message WHERE mailbox_id IN (SELECT id FROM mailbox WHERE account_id = :id)

-- name: delete_account_mailboxes
DELETE FROM mailbox WHERE account_id = :id

-- name: credentials
SELECT c.id, c.name, c.hash, a.id AS account_id, a.address, a.enabled, a.quota_bytes, a.used_bytes, a.used_messages,
  a.quota_messages
FROM credential c JOIN account a ON a.id = c.account_id
WHERE a.address = :address AND a.removed_at IS NULL ORDER BY c.id

-- name: credential
SELECT c.id, a.id AS account_id, a.address, a.enabled, a.quota_bytes, a.used_bytes, a.used_messages,
  a.quota_messages
FROM credential c JOIN account a ON a.id = c.account_id
WHERE c.id = :id AND a.removed_at IS NULL

-- name: secret
SELECT value FROM secret WHERE name = :name

-- name: insert_secret
INSERT INTO secret (name, value) VALUES (:name, :value) ON CONFLICT DO NOTHING

-- name: set_credential
INSERT INTO credential (account_id, name, hash, created_at) VALUES (:account_id, :name, :hash, :now)
ON CONFLICT (account_id, name) DO UPDATE SET hash = excluded.hash, created_at = excluded.created_at

-- name: upgrade_credential
UPDATE credential SET hash = :hash WHERE id = :id AND hash = :old

-- name: delete_credentials
DELETE FROM credential WHERE account_id = :account_id

-- name: alias_targets
SELECT target FROM alias WHERE address = :address ORDER BY id

-- name: aliases
SELECT a.address, a.target FROM alias a JOIN domain d ON d.id = a.domain_id
WHERE :domain = '' OR d.name = :domain ORDER BY a.address, a.id

-- name: insert_alias
INSERT INTO alias (domain_id, address, target, created_at)
VALUES (:domain_id, :address, :target, :now) ON CONFLICT DO NOTHING RETURNING id

-- name: delete_alias
DELETE FROM alias WHERE address = :address AND (:target = '' OR target = :target) RETURNING id

-- name: note_login
INSERT INTO login (account_id, at) VALUES (:account_id, :at)
ON CONFLICT (account_id) DO UPDATE SET at = excluded.at
