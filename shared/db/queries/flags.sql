-- Keywords and flags of the messages of one mailbox, whose row the writer has locked.

-- name: keywords
SELECT name FROM keyword WHERE mailbox_id = :mailbox_id ORDER BY bit

-- name: insert_keywords
INSERT INTO keyword (mailbox_id, bit, name) VALUES :rows...

-- name: flags_between
SELECT uid, flags, modseq FROM message
WHERE mailbox_id = :mailbox_id AND uid BETWEEN :low AND :high AND expunged_at IS NULL ORDER BY uid

-- name: flags_in
SELECT uid, flags, modseq FROM message
WHERE mailbox_id = :mailbox_id AND uid IN (:uids...) AND expunged_at IS NULL ORDER BY uid

-- name: store_between
UPDATE message SET flags = (flags & :keep) | :add, modseq = :modseq
WHERE mailbox_id = :mailbox_id AND uid BETWEEN :low AND :high AND expunged_at IS NULL
  AND modseq <= :unchanged_since AND flags <> ((flags & :keep) | :add)

-- name: store_in
UPDATE message SET flags = (flags & :keep) | :add, modseq = :modseq
WHERE mailbox_id = :mailbox_id AND uid IN (:uids...) AND expunged_at IS NULL
  AND modseq <= :unchanged_since AND flags <> ((flags & :keep) | :add)

-- name: count_flags
UPDATE mailbox SET modseq = :modseq, unseen = unseen + :unseen, deleted = deleted + :deleted
WHERE id = :mailbox_id
