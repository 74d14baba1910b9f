-- Rows of messages. Whoever writes them has locked the mailbox's row.

-- name: changed
SELECT uid, flags, modseq, expunged_at FROM message
WHERE mailbox_id = :mailbox_id AND modseq > :since ORDER BY uid

-- name: changed_runs
SELECT gone, min(uid) AS low, max(uid) AS high FROM (
  SELECT uid, gone, uid - row_number() OVER (PARTITION BY gone ORDER BY uid) AS run FROM (
    SELECT uid, CASE WHEN expunged_at IS NULL THEN 0 ELSE 1 END AS gone FROM message
    WHERE mailbox_id = :mailbox_id AND modseq > :since) AS changed) AS numbered
GROUP BY gone, run ORDER BY low

-- name: first_uid
SELECT uid FROM message WHERE mailbox_id = :mailbox_id AND expunged_at IS NULL ORDER BY uid LIMIT 1

-- name: last_uid
SELECT uid FROM message WHERE mailbox_id = :mailbox_id AND expunged_at IS NULL ORDER BY uid DESC LIMIT 1

-- name: first_unseen
SELECT uid FROM message
WHERE mailbox_id = :mailbox_id AND expunged_at IS NULL AND flags & 1 = 0 ORDER BY uid LIMIT 1

-- name: uid_ranges
SELECT min(uid) AS low, max(uid) AS high FROM (
  SELECT uid, uid - row_number() OVER (ORDER BY uid) AS run FROM message
  WHERE mailbox_id = :mailbox_id AND expunged_at IS NULL) AS numbered
GROUP BY run ORDER BY low

-- name: take_uids
UPDATE mailbox SET uidnext = uidnext + :count,
  modseq = CASE WHEN modseq >= :now THEN modseq + 1 ELSE :now END,
  messages = messages + :count, unseen = unseen + :unseen, deleted = deleted + :deleted, bytes = bytes + :bytes
WHERE id = :mailbox_id RETURNING uidnext, modseq, uidvalidity

-- name: forget
UPDATE mailbox SET modseq = :modseq,
  messages = messages - :count, unseen = unseen - :unseen, deleted = deleted - :deleted, bytes = bytes - :bytes
WHERE id = :mailbox_id

-- name: insert_messages
INSERT INTO message
  (mailbox_id, uid, blob_id, modseq, flags, internal_date, saved_at, size, prefix)
VALUES :rows...

-- All of the range have a row: their numbers need not be counted.
-- name: insert_copies_between
INSERT INTO message (mailbox_id, uid, blob_id, modseq, flags, internal_date, saved_at, size, prefix)
SELECT CAST(:target_id AS BIGINT), CAST(:first AS BIGINT) + (uid - CAST(:low AS BIGINT)), blob_id,
  CAST(:modseq AS BIGINT), flags, internal_date, CAST(:saved AS BIGINT), size, prefix FROM message
WHERE mailbox_id = :source_id AND uid BETWEEN :low AND :high ORDER BY uid

-- name: insert_copies_in
INSERT INTO message (mailbox_id, uid, blob_id, modseq, flags, internal_date, saved_at, size, prefix)
SELECT CAST(:target_id AS BIGINT), CAST(:first AS BIGINT) - 1 + row_number() OVER (ORDER BY uid), blob_id,
  CAST(:modseq AS BIGINT), flags, internal_date, CAST(:saved AS BIGINT), size, prefix FROM message
WHERE mailbox_id = :source_id AND uid IN (:uids...) ORDER BY uid

-- name: set_flags
UPDATE message SET flags = :flags WHERE mailbox_id = :mailbox_id AND uid = :uid

-- Whoever moves or expunges wants these of thousands, and a row for each takes four times as long.
-- name: sources_between
SELECT @array@(uid), @array@(flags), @array@(size) FROM (SELECT uid, flags, size FROM message
WHERE mailbox_id = :mailbox_id AND uid BETWEEN :low AND :high AND expunged_at IS NULL ORDER BY uid) AS chosen

-- name: sources_in
SELECT @array@(uid), @array@(flags), @array@(size) FROM (SELECT uid, flags, size FROM message
WHERE mailbox_id = :mailbox_id AND uid IN (:uids...) AND expunged_at IS NULL ORDER BY uid) AS chosen

-- name: expunged_between
SELECT @array@(uid), @array@(flags), @array@(size) FROM (SELECT uid, flags, size FROM message
WHERE mailbox_id = :mailbox_id AND uid BETWEEN :low AND :high AND expunged_at IS NOT NULL ORDER BY uid) AS chosen

-- name: expunged_in
SELECT @array@(uid), @array@(flags), @array@(size) FROM (SELECT uid, flags, size FROM message
WHERE mailbox_id = :mailbox_id AND uid IN (:uids...) AND expunged_at IS NOT NULL ORDER BY uid) AS chosen

-- name: prefixes_between
SELECT uid, prefix FROM message
WHERE mailbox_id = :mailbox_id AND uid BETWEEN :low AND :high AND expunged_at IS NULL ORDER BY uid

-- name: prefixes_in
SELECT uid, prefix FROM message
WHERE mailbox_id = :mailbox_id AND uid IN (:uids...) AND expunged_at IS NULL ORDER BY uid

-- name: set_prefix
UPDATE message SET prefix = :prefix, size = :size WHERE mailbox_id = :mailbox_id AND uid = :uid

-- name: deleted_between
SELECT @array@(uid), @array@(flags), @array@(size) FROM (SELECT uid, flags, size FROM message
WHERE mailbox_id = :mailbox_id AND uid BETWEEN :low AND :high AND expunged_at IS NULL AND flags & 8 <> 0 ORDER BY uid) AS chosen

-- name: deleted_in
SELECT @array@(uid), @array@(flags), @array@(size) FROM (SELECT uid, flags, size FROM message
WHERE mailbox_id = :mailbox_id AND uid IN (:uids...) AND expunged_at IS NULL AND flags & 8 <> 0 ORDER BY uid) AS chosen

-- name: mark_expunged_between
UPDATE message SET expunged_at = :now, modseq = :modseq
WHERE mailbox_id = :mailbox_id AND uid BETWEEN :low AND :high

-- name: mark_expunged_in
UPDATE message SET expunged_at = :now, modseq = :modseq
WHERE mailbox_id = :mailbox_id AND uid IN (:uids...)

-- name: known_segments
SELECT id, name, state FROM segment WHERE name IN (:names...) ORDER BY id @for_share@

-- name: insert_segments
INSERT INTO segment (name, state) VALUES :rows... ON CONFLICT (name) DO NOTHING

-- name: insert_blobs
INSERT INTO blob (entry, segment_id, position, length, body, inline_size, size, large, header_size, sent_at, sent_day,
  envelope, bodystructure, imap_body, parts, preview, message_id, subject, refs)
VALUES :rows... ON CONFLICT (entry) DO UPDATE SET entry = excluded.entry RETURNING id, entry

-- name: blob_reference
SELECT s.name, b.position, b.length, b.body, b.inline_size, b.size, b.large
FROM blob b JOIN segment s ON s.id = b.segment_id WHERE b.id = :blob_id
