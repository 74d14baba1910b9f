-- name: settled_segments
SELECT name FROM segment WHERE state IN ('settled', 'rewritten')

-- name: known_recipients
SELECT entry, recipient FROM ledger WHERE entry IN (:entries...)
UNION SELECT entry, recipient FROM pending WHERE entry IN (:waiting...)
