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
-- Each side by its index, newest first: an address may have a million rows.
SELECT * FROM (
  SELECT * FROM (SELECT * FROM ledger WHERE lower(recipient) = :address ORDER BY at DESC LIMIT :limit) AS received
  UNION
  SELECT * FROM (SELECT * FROM ledger WHERE lower(sender) = :address ORDER BY at DESC LIMIT :limit) AS sent
) AS found ORDER BY at DESC LIMIT :limit

-- name: pending_of_address
-- Entry ids are in the order of acceptance.
SELECT * FROM (
  SELECT * FROM (SELECT * FROM pending WHERE lower(recipient) = :address ORDER BY entry DESC LIMIT :limit) AS received
  UNION
  SELECT * FROM (SELECT * FROM pending WHERE lower(sender) = :address ORDER BY entry DESC LIMIT :limit) AS sent
) AS found ORDER BY entry DESC LIMIT :limit
