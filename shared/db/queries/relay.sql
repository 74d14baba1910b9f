-- What the relay asks and records (services/relay).

-- name: finished
SELECT entry, recipient FROM ledger WHERE entry IN (:entries...)

-- name: waiting
SELECT p.entry, p.recipient, p.attempts, p.due_at, p.warned, p.held, s.name AS segment,
  p.position, p.length, p.body, p.inline_size, p.size, p.large
FROM pending p JOIN segment s ON s.id = p.segment_id
WHERE p.entry IN (:entries...) AND p.lane = 'relay'

-- name: record
INSERT INTO ledger (entry, recipient, target, outcome, at, sender, message_id, detail) VALUES :rows...
ON CONFLICT DO NOTHING

-- name: defer
-- A row that exists keeps its reference, which compaction may have changed, and what the operator decided.
INSERT INTO pending (entry, recipient, target, lane, segment_id, position, length, body, inline_size, size, large,
  due_at, first_at, attempts, warned, held, site, reason, sender, message_id)
VALUES :rows...
ON CONFLICT (entry, recipient, target) DO UPDATE SET
  due_at = excluded.due_at,
  attempts = excluded.attempts,
  warned = CASE WHEN excluded.warned > pending.warned THEN excluded.warned ELSE pending.warned END,
  held = CASE WHEN excluded.held > pending.held THEN excluded.held ELSE pending.held END,
  site = excluded.site,
  reason = excluded.reason

-- name: forget_finished
DELETE FROM pending WHERE entry IN (:entries...) AND lane = 'relay' AND EXISTS (
  SELECT 1 FROM ledger
  WHERE ledger.entry = pending.entry AND ledger.recipient = pending.recipient AND ledger.target = pending.target
)

-- name: insert_attempts
INSERT INTO attempt (entry, recipient, at, detail) VALUES :rows...
