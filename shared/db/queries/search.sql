-- Blocks of words (shared.mailbox.words).

-- name: blocks
SELECT id, messages, built_at, uids FROM search_block WHERE mailbox_id = :mailbox_id ORDER BY first_uid

-- name: words
SELECT id, first_uid, uids, words FROM search_block
WHERE mailbox_id = :mailbox_id AND first_uid > :after ORDER BY first_uid LIMIT :limit

-- name: postings
SELECT id, postings FROM search_block WHERE id IN (:ids...)

-- name: lock_mailbox
SELECT id FROM mailbox WHERE id = :mailbox_id @for_update@

-- name: insert_block
INSERT INTO search_block (mailbox_id, first_uid, last_uid, messages, built_at, uids, words, postings)
VALUES (:mailbox_id, :first_uid, :last_uid, :messages, :now, :uids, :words, :postings)
ON CONFLICT (mailbox_id, first_uid) DO NOTHING

-- name: delete_blocks
DELETE FROM search_block WHERE id IN (:ids...)

-- name: behind
SELECT b.id FROM mailbox b
LEFT JOIN (SELECT mailbox_id, sum(messages) AS messages, max(last_uid) AS last_uid FROM search_block
  GROUP BY mailbox_id) AS s ON s.mailbox_id = b.id
WHERE b.id > :after AND b.messages >= :least
  AND (b.messages >= :least + coalesce(s.messages, 0) OR b.uidnext > :least + coalesce(s.last_uid, 0))
ORDER BY b.id LIMIT :limit

-- name: stale
SELECT DISTINCT s.mailbox_id AS id FROM search_block s JOIN mailbox b ON b.id = s.mailbox_id
WHERE s.built_at < :before AND b.expunge_modseq > s.built_at * 1000000 ORDER BY 1 LIMIT :limit
