-- What the sweep asks (shared/queue/recovery.py).

-- name: settled
SELECT name FROM segment WHERE name IN (:names...) AND state IN ('settled', 'rewritten')

-- name: settle
INSERT INTO segment (name, state, length) VALUES (:name, 'settled', :length)
ON CONFLICT (name) DO UPDATE SET state = 'settled', length = excluded.length
WHERE segment.state IN ('open', 'sealed')

-- name: handled
SELECT entry, recipient FROM ledger WHERE entry IN (:entries...)
UNION
SELECT entry, recipient FROM pending WHERE entry IN (:waiting...)

-- name: pending_page
SELECT p.entry, p.recipient, p.target, p.lane, p.due_at, s.name AS segment,
  p.position, p.length, p.body, p.inline_size, p.size, p.large
FROM pending p JOIN segment s ON s.id = p.segment_id
WHERE p.held = 0 AND p.due_at <= :until
  AND (p.due_at, p.entry, p.recipient, p.target) > (:due_at, :entry, :recipient, :target)
ORDER BY p.due_at, p.entry, p.recipient, p.target
LIMIT :limit

-- name: still_pending
SELECT entry, lane, MIN(due_at) AS due_at FROM pending
WHERE held = 0 AND entry IN (:entries...)
GROUP BY entry, lane
