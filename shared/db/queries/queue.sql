-- name: make_due
UPDATE pending SET due_at = :now, held = 0 WHERE entry IN (:entries...)
