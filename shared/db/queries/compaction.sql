-- Compaction and what goes with it (shared/mailbox/maintenance.py). Locks: segments, then pending, then blobs.

-- name: settled
SELECT id, name, length FROM segment WHERE state = 'settled' AND id > :after ORDER BY id LIMIT :limit

-- name: live_bytes
SELECT segment_id, SUM(length) AS bytes FROM (
  SELECT segment_id, position, length FROM blob WHERE segment_id IN (:ids...)
  UNION SELECT segment_id, position, length FROM pending WHERE segment_id IN (:waiting...)) AS records
GROUP BY segment_id

-- name: live_records
SELECT s.name AS segment, r.position, r.length, r.body, r.inline_size, r.size, r.large FROM (
  SELECT segment_id, position, length, body, inline_size, size, large FROM blob WHERE segment_id IN (:ids...)
  UNION
  SELECT segment_id, position, length, body, inline_size, size, large FROM pending WHERE segment_id IN (:waiting...)
) AS r JOIN segment s ON s.id = r.segment_id
ORDER BY s.name, r.position

-- name: begin_compacted
INSERT INTO segment (name, state, kind) VALUES (:name, 'open', 'compacted') RETURNING id

-- name: lock_segments
SELECT id, name, state FROM segment WHERE id IN (:ids...) ORDER BY id @for_update@

-- name: blobs_in
SELECT id, segment_id, position FROM blob WHERE segment_id IN (:ids...) ORDER BY id

-- name: pending_in
SELECT entry, recipient, target, segment_id, position FROM pending
WHERE segment_id IN (:ids...) ORDER BY entry, recipient, target @for_update@

-- name: move_blob
UPDATE blob SET segment_id = :segment_id, body = body - position + :position, position = :position WHERE id = :id

-- name: move_pending
UPDATE pending SET segment_id = :segment_id, body = body - position + :position, position = :position
WHERE entry = :entry AND recipient = :recipient AND target = :target

-- name: settle_compacted
UPDATE segment SET state = 'settled', length = :length WHERE id = :id

-- name: retire
UPDATE segment SET state = 'rewritten', unlink_after = :unlink_after WHERE id IN (:ids...)

-- name: retired
SELECT id, name FROM segment WHERE state = 'rewritten' AND unlink_after <= :now ORDER BY id LIMIT :limit

-- name: revive
UPDATE segment SET state = 'settled', unlink_after = NULL WHERE id = :id

-- name: forget_segment
DELETE FROM segment WHERE id = :id AND state = 'rewritten'

-- name: unfinished
SELECT id, name FROM segment WHERE kind = 'compacted' AND state = 'open'

-- name: known_segments
SELECT name FROM segment WHERE name IN (:names...)

-- name: settled_names
SELECT name FROM segment WHERE name IN (:names...) AND state IN ('settled', 'rewritten')

-- name: named_large
SELECT large FROM blob WHERE large IN (:names...)
UNION SELECT large FROM pending WHERE large IN (:waiting...)

-- name: old_expunged
SELECT mailbox_id, uid FROM message WHERE expunged_at IS NOT NULL AND expunged_at < :before
ORDER BY expunged_at LIMIT :limit

-- name: delete_expunged
DELETE FROM message
WHERE mailbox_id = :mailbox_id AND uid IN (:uids...) AND expunged_at IS NOT NULL AND expunged_at < :before
RETURNING blob_id, modseq

-- name: forget_expunges
UPDATE mailbox SET expunge_modseq = :modseq WHERE id = :mailbox_id AND expunge_modseq < :modseq

-- name: last_blob
SELECT MAX(id) AS id FROM blob

-- name: unused_blobs
SELECT id FROM blob WHERE id > :low AND id <= :high
  AND NOT EXISTS (SELECT 1 FROM message WHERE message.blob_id = blob.id)

-- name: lock_blobs
SELECT id FROM blob WHERE id IN (:ids...) ORDER BY id @for_update@

-- name: delete_unused_blobs
DELETE FROM blob WHERE id IN (:ids...)
  AND NOT EXISTS (SELECT 1 FROM message WHERE message.blob_id = blob.id)
RETURNING id
