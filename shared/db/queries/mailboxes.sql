-- Mailboxes of an account. Every writer locks the account's row first, then mailboxes by id.

-- name: reserve_uidvalidities
UPDATE account SET uidvalidity = (CASE WHEN uidvalidity >= :now THEN uidvalidity ELSE :now END) + :count
WHERE id = :account_id RETURNING uidvalidity

-- name: lock_account
SELECT id FROM account WHERE id = :account_id @for_update@

-- name: mailboxes
SELECT id, account_id, name, uidvalidity, uidnext, modseq, messages, unseen, deleted, bytes, special_use, expunge_modseq, claimed
FROM mailbox WHERE account_id = :account_id ORDER BY name

-- name: mailbox_by_name
SELECT id, account_id, name, uidvalidity, uidnext, modseq, messages, unseen, deleted, bytes, special_use, expunge_modseq, claimed
FROM mailbox WHERE account_id = :account_id AND name = :name

-- name: mailbox_by_id
SELECT id, account_id, name, uidvalidity, uidnext, modseq, messages, unseen, deleted, bytes, special_use, expunge_modseq, claimed
FROM mailbox WHERE id = :id

-- name: deleted_of
SELECT deleted, modseq FROM mailbox WHERE id = :id

-- name: modseq_of
SELECT modseq FROM mailbox WHERE id = :id

-- name: lock_mailboxes
SELECT id, account_id, name, uidvalidity, uidnext, modseq, messages, unseen, deleted, bytes, special_use, expunge_modseq, claimed
FROM mailbox WHERE id IN (:ids...) ORDER BY id @for_update@

-- name: insert_mailbox
INSERT INTO mailbox (account_id, name, uidvalidity, special_use, created_at)
VALUES (:account_id, :name, :uidvalidity, :special_use, :now)
RETURNING id, account_id, name, uidvalidity, uidnext, modseq, messages, unseen, deleted, bytes, special_use, expunge_modseq, claimed

-- name: rename_mailbox
UPDATE mailbox SET name = :name WHERE id = :id

-- name: delete_keywords
DELETE FROM keyword WHERE mailbox_id = :id

-- name: delete_messages
DELETE FROM message WHERE mailbox_id = :id

-- name: delete_mailbox
DELETE FROM mailbox WHERE id = :id

-- name: subscriptions
SELECT name FROM subscription WHERE account_id = :account_id ORDER BY name

-- name: subscribe
INSERT INTO subscription (account_id, name) VALUES (:account_id, :name) ON CONFLICT DO NOTHING

-- name: unsubscribe
DELETE FROM subscription WHERE account_id = :account_id AND name = :name

-- name: deleted_size
SELECT CAST(coalesce(sum(size), 0) AS BIGINT) AS size FROM message
WHERE mailbox_id = :id AND expunged_at IS NULL AND flags & 8 <> 0

-- name: set_special_use
UPDATE mailbox SET special_use = :special_use WHERE id = :id

-- name: modseqs
SELECT id, account_id, modseq FROM mailbox WHERE id IN (:ids...)

-- name: junk_of
SELECT account_id, name, special_use FROM mailbox WHERE account_id IN (:accounts...) AND special_use LIKE '%Junk%'

-- name: uses_of
SELECT id, special_use FROM mailbox WHERE id IN (:ids...)

-- name: to_be_learned
SELECT m.uid, x.special_use, b.entry, s.name AS segment, b.position, b.length, b.body, b.inline_size,
  b.size AS octets, b.large
FROM message m JOIN mailbox x ON x.id = m.mailbox_id JOIN blob b ON b.id = m.blob_id
JOIN segment s ON s.id = b.segment_id
WHERE m.mailbox_id = :mailbox AND m.uid IN (:uids...) AND m.expunged_at IS NULL ORDER BY m.uid

-- name: unclaimed
SELECT count(*) AS messages FROM message WHERE mailbox_id = :id AND uid > :claimed AND expunged_at IS NULL

-- name: claimed_of
SELECT claimed FROM mailbox WHERE id = :id @for_update@

-- name: claim
UPDATE mailbox SET claimed = :last WHERE id = :id
