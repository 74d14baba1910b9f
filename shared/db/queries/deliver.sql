-- The batch transaction. Lock order: ledger, segments, accounts, mailboxes, each sorted.

-- name: finished
SELECT DISTINCT entry, recipient FROM ledger WHERE entry IN (:entries...)

-- name: insert_ledger
INSERT INTO ledger (entry, recipient, target, outcome, at, sender, message_id, detail)
VALUES :rows... ON CONFLICT DO NOTHING RETURNING entry, recipient, target

-- name: undo_ledger
DELETE FROM ledger WHERE entry = :entry AND recipient = :recipient AND target = :target

-- name: set_detail
UPDATE ledger SET detail = :detail WHERE entry = :entry AND recipient = :recipient AND target = :target

-- name: lock_accounts
SELECT id, quota_bytes, used_bytes, quota_messages, used_messages FROM account
WHERE id IN (:ids...) AND removed_at IS NULL ORDER BY id @for_update@

-- name: use_room
UPDATE account SET used_bytes = used_bytes + :bytes, used_messages = used_messages + :messages WHERE id = :id

-- name: lock_mailboxes
SELECT id, account_id, name, uidnext, modseq FROM mailbox
WHERE account_id IN (:accounts...) AND name IN (:names...) ORDER BY id @for_update@

-- name: give_uids
UPDATE mailbox SET uidnext = :uidnext, modseq = :modseq, messages = messages + :messages,
  unseen = unseen + :unseen, deleted = deleted + :deleted, bytes = bytes + :bytes
WHERE id = :id

-- name: hold
INSERT INTO pending (entry, recipient, target, lane, segment_id, position, length, body, inline_size, size, large,
  due_at, first_at, held, reason, sender, message_id)
VALUES :rows... ON CONFLICT (entry, recipient, target) DO UPDATE SET held = 1, reason = excluded.reason

-- name: waiting
SELECT DISTINCT entry, recipient, held FROM pending WHERE entry IN (:entries...) AND lane = :lane

-- name: stop_waiting
DELETE FROM pending WHERE entry = :entry AND recipient = :recipient AND lane = :lane

-- name: place_of
SELECT s.name, b.position, b.length, b.body, b.inline_size, b.size, b.large
FROM blob b JOIN segment s ON s.id = b.segment_id WHERE b.entry = :entry

-- name: pending_place_of
SELECT s.name, p.position, p.length, p.body, p.inline_size, p.size, p.large
FROM pending p JOIN segment s ON s.id = p.segment_id WHERE p.entry = :entry LIMIT 1

-- name: segment_state
SELECT state FROM segment WHERE name = :name
