-- Stored mail, by the entries that it arrived as.

-- name: entries
SELECT DISTINCT b.entry FROM blob b JOIN message m ON m.blob_id = b.id JOIN mailbox x ON x.id = m.mailbox_id
WHERE b.entry > :after AND m.expunged_at IS NULL AND (:account = 0 OR x.account_id = :account)
ORDER BY b.entry LIMIT :limit

-- name: stored
SELECT DISTINCT b.entry, x.account_id, a.address, b.subject, s.name AS segment, b.position, b.length, b.body,
  b.inline_size, b.size, b.large
FROM blob b JOIN segment s ON s.id = b.segment_id JOIN message m ON m.blob_id = b.id
JOIN mailbox x ON x.id = m.mailbox_id JOIN account a ON a.id = x.account_id
WHERE b.entry IN (:entries...) AND m.expunged_at IS NULL AND a.removed_at IS NULL
  AND (:account = 0 OR x.account_id = :account)
ORDER BY b.entry, x.account_id

-- name: outcomes
SELECT entry, recipient, target, outcome, detail FROM ledger WHERE entry IN (:entries...) ORDER BY entry, target
