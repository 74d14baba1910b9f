-- name: settled_segments
SELECT name FROM segment WHERE state IN ('settled', 'rewritten')
