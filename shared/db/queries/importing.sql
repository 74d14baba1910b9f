-- Imports: which messages an account has already.

-- name: live_entries
SELECT DISTINCT b.entry FROM blob b JOIN message m ON m.blob_id = b.id JOIN mailbox x ON x.id = m.mailbox_id
WHERE b.entry IN (:entries...) AND x.account_id = :account_id AND m.expunged_at IS NULL
