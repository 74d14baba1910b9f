-- name: ledger_of_entry
SELECT * FROM ledger WHERE entry = :entry

-- name: pending_of_entry
SELECT * FROM pending WHERE entry = :entry

-- name: ledger_of_entries
SELECT * FROM ledger WHERE entry IN (:entries...)

-- name: pending_of_entries
SELECT * FROM pending WHERE entry IN (:entries...)

-- name: ledger_of_message
SELECT * FROM ledger WHERE message_id = :message_id ORDER BY at DESC LIMIT :limit

-- name: pending_of_message
SELECT * FROM pending WHERE message_id = :message_id ORDER BY first_at DESC LIMIT :limit

-- name: ledger_of_address
SELECT * FROM (
  SELECT * FROM ledger WHERE lower(recipient) = :address UNION SELECT * FROM ledger WHERE lower(sender) = :address
) AS found ORDER BY at DESC LIMIT :limit

-- name: pending_of_address
SELECT * FROM pending WHERE lower(recipient) = :address OR lower(sender) = :address ORDER BY first_at DESC LIMIT :limit
