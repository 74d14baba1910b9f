-- The quarantine; what is in it has a held row in `pending` (shared/mailbox/quarantine.py).

-- name: insert
INSERT INTO quarantine (entry, recipient, at, scanner, reason, sender, subject, size)
VALUES :rows... ON CONFLICT (entry, recipient) DO UPDATE SET at = excluded.at, scanner = excluded.scanner,
  reason = excluded.reason

-- name: known
SELECT entry, recipient FROM quarantine WHERE entry IN (:entries...)

-- name: of_entries
SELECT q.entry, q.recipient, q.at, q.scanner, q.reason, q.sender, q.subject, q.size, p.target, p.message_id,
  s.name AS segment, p.position, p.length, p.body, p.inline_size, p.size AS octets, p.large
FROM quarantine q JOIN pending p ON p.entry = q.entry AND p.recipient = q.recipient AND p.held = 1
JOIN segment s ON s.id = p.segment_id
WHERE q.entry IN (:entries...) ORDER BY q.entry, q.recipient

-- name: old
SELECT q.entry, q.recipient FROM quarantine q WHERE q.at < :before ORDER BY q.at LIMIT :limit

-- name: left_over
-- A row whose mail is on its way or gone.
SELECT q.entry, q.recipient FROM quarantine q WHERE NOT EXISTS (
  SELECT 1 FROM pending p WHERE p.entry = q.entry AND p.recipient = q.recipient) LIMIT :limit

-- name: delete
DELETE FROM quarantine WHERE entry = :entry AND recipient = :recipient

-- name: release
UPDATE pending SET held = 0, due_at = :now WHERE entry = :entry AND recipient = :recipient AND held = 1

-- name: give_up
INSERT INTO ledger (entry, recipient, target, outcome, at, sender, message_id, detail)
VALUES (:entry, :recipient, :target, 'discarded', :at, :sender, :message_id, :detail)
ON CONFLICT DO NOTHING

-- name: delete_pending
DELETE FROM pending WHERE entry = :entry AND recipient = :recipient AND held = 1
