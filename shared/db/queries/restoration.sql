-- After a restore from a backup (shared/operations/restoration.py).

-- name: raise_accounts
-- A mailbox made after the backup had a UIDVALIDITY that nobody may get again.
UPDATE account SET uidvalidity = uidvalidity + :step

-- name: raise_mailboxes
UPDATE mailbox SET uidnext = uidnext + :step, modseq = CASE WHEN modseq < :now THEN :now ELSE modseq + 1 END

-- name: raise_messages
-- Clients may know flags that were set after the backup: they have to be told what is true now.
UPDATE message SET modseq = (SELECT modseq FROM mailbox WHERE mailbox.id = message.mailbox_id)

-- name: forget_expunges
-- Which messages went after the backup nobody knows: a client that comes back gets a whole list.
UPDATE mailbox SET expunge_modseq = modseq - 1

-- name: hold_waiting
UPDATE pending SET held = 1, reason = :reason WHERE lane = 'relay' AND held = 0 RETURNING entry

-- name: hold_fresh
INSERT INTO pending (entry, recipient, target, lane, segment_id, position, length, body, inline_size, size, large,
  due_at, first_at, held, reason, sender, message_id)
VALUES :rows... ON CONFLICT DO NOTHING RETURNING entry
