-- name: pending
SELECT p.*, s.name AS segment FROM pending p JOIN segment s ON s.id = p.segment_id ORDER BY p.entry, p.recipient

-- name: pending_of
SELECT p.*, s.name AS segment FROM pending p JOIN segment s ON s.id = p.segment_id
WHERE p.entry IN (:entries...) ORDER BY p.entry, p.recipient

-- name: make_due
UPDATE pending SET due_at = :now, held = 0 WHERE entry IN (:entries...)

-- name: drop
INSERT INTO ledger (entry, recipient, target, outcome, at, sender, message_id, detail)
VALUES (:entry, :recipient, :target, 'dropped', :at, :sender, :message_id, '{"reason":"by the operator"}')
ON CONFLICT DO NOTHING RETURNING entry

-- name: delete_pending
DELETE FROM pending WHERE entry IN (:entries...)
