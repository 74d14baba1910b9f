-- name: rules
SELECT r.account_id, a.address, r.mailbox, r.days FROM retention r LEFT JOIN account a ON a.id = r.account_id
ORDER BY a.address, r.mailbox

-- name: rule_of_account
SELECT days FROM retention WHERE account_id = :account_id AND mailbox = :mailbox

-- name: rule_of_all
SELECT days FROM retention WHERE account_id IS NULL AND mailbox = :mailbox

-- name: remove_of_account
DELETE FROM retention WHERE account_id = :account_id AND mailbox = :mailbox

-- name: remove_of_all
DELETE FROM retention WHERE account_id IS NULL AND mailbox = :mailbox

-- name: set_of_account
INSERT INTO retention (account_id, mailbox, days, changed_at) VALUES (:account_id, :mailbox, :days, :now)

-- name: set_of_all
INSERT INTO retention (mailbox, days, changed_at) VALUES (:mailbox, :days, :now)

-- name: filled_mailboxes
SELECT id, account_id, name, special_use FROM mailbox
WHERE id > :after AND messages > 0 AND (special_use <> '' OR name IN (:names...)) ORDER BY id LIMIT :limit

-- name: oldest
SELECT uid, saved_at FROM message WHERE mailbox_id = :mailbox_id AND expunged_at IS NULL ORDER BY uid LIMIT :limit

-- name: lost
SELECT m.mailbox_id, x.name, m.uid, m.blob_id, m.expunged_at, m.size
FROM message m JOIN mailbox x ON x.id = m.mailbox_id
WHERE x.account_id = :account_id AND m.expunged_at >= :since AND (:every = 1 OR x.name = :name) AND NOT EXISTS (
  SELECT 1 FROM message l JOIN mailbox y ON y.id = l.mailbox_id
  WHERE l.blob_id = m.blob_id AND l.expunged_at IS NULL AND y.account_id = :account_id)
ORDER BY m.expunged_at DESC, m.mailbox_id, m.uid LIMIT :limit
