-- Annotations (RFC 5464). An entry that was removed stays without a value, for who asks what has changed.

-- name: of_mailboxes
SELECT mailbox_id, entry, value FROM mailbox_metadata
WHERE mailbox_id IN (:mailboxes...) AND account_id IN (:accounts...) AND value IS NOT NULL ORDER BY mailbox_id, entry

-- name: some_of_mailboxes
SELECT mailbox_id, entry, value FROM mailbox_metadata
WHERE mailbox_id IN (:mailboxes...) AND account_id IN (:accounts...) AND entry IN (:entries...) AND value IS NOT NULL

-- name: total
SELECT CAST(coalesce(sum(length(d.value)), 0) AS BIGINT) AS size FROM mailbox m
JOIN mailbox_metadata d ON d.mailbox_id = m.id WHERE m.account_id = :account_id

-- name: of_account
SELECT entry, value FROM account_metadata WHERE account_id = :account_id AND value IS NOT NULL ORDER BY entry

-- name: set_of_mailbox
INSERT INTO mailbox_metadata (mailbox_id, account_id, entry, value, changed_at) VALUES :rows...
ON CONFLICT (mailbox_id, account_id, entry) DO UPDATE SET value = excluded.value, changed_at = excluded.changed_at

-- name: set_of_account
INSERT INTO account_metadata (account_id, entry, value, changed_at) VALUES :rows...
ON CONFLICT (account_id, entry) DO UPDATE SET value = excluded.value, changed_at = excluded.changed_at

-- name: drop_removed_of_mailbox
DELETE FROM mailbox_metadata WHERE mailbox_id = :mailbox_id AND account_id = :account_id AND value IS NULL
  AND changed_at < :before

-- name: drop_removed_of_account
DELETE FROM account_metadata WHERE account_id = :account_id AND value IS NULL AND changed_at < :before

-- name: copy_all
INSERT INTO mailbox_metadata (mailbox_id, account_id, entry, value, changed_at)
SELECT CAST(:target_id AS BIGINT), account_id, entry, value, changed_at FROM mailbox_metadata
WHERE mailbox_id = :source_id AND value IS NOT NULL

-- name: latest
SELECT max(changed_at) AS latest FROM account_metadata WHERE account_id = :account_id
UNION ALL SELECT max(d.changed_at) FROM mailbox m JOIN mailbox_metadata d ON d.mailbox_id = m.id
WHERE m.account_id = :account_id

-- name: changed_in
SELECT m.name, d.entry, d.changed_at FROM mailbox m JOIN mailbox_metadata d ON d.mailbox_id = m.id
WHERE m.account_id = :account_id AND d.account_id IN (:accounts...) AND d.changed_at > :since ORDER BY m.name, d.entry

-- name: changed_in_some
SELECT mailbox_id, entry, changed_at FROM mailbox_metadata
WHERE mailbox_id IN (:mailboxes...) AND account_id IN (:accounts...) AND changed_at > :since ORDER BY mailbox_id, entry

-- name: changed_of_account
SELECT entry, changed_at FROM account_metadata WHERE account_id = :account_id AND changed_at > :since ORDER BY entry
