-- name: any_target
SELECT 1 AS found FROM target LIMIT 1

-- name: targets_of
SELECT t.account_id, d.name AS domain, t.kind, t.place, t.seconds
FROM target t LEFT JOIN domain d ON d.id = t.domain_id
WHERE t.account_id IN (:accounts...) OR d.name IN (:domains...)

-- name: target_of_account
SELECT kind, place, seconds FROM target WHERE account_id = :account_id

-- name: target_of_domain
SELECT kind, place, seconds FROM target WHERE domain_id = :domain_id

-- name: remove_of_account
DELETE FROM target WHERE account_id = :account_id

-- name: remove_of_domain
DELETE FROM target WHERE domain_id = :domain_id

-- name: set_of_account
INSERT INTO target (account_id, kind, place, seconds, changed_at) VALUES (:account_id, :kind, :place, :seconds, :now)

-- name: set_of_domain
INSERT INTO target (domain_id, kind, place, seconds, changed_at) VALUES (:domain_id, :kind, :place, :seconds, :now)

-- name: attempts
SELECT attempts FROM pending WHERE entry = :entry AND recipient = :recipient AND lane = :lane

-- name: defer
INSERT INTO pending (entry, recipient, target, lane, segment_id, position, length, body, inline_size, size, large,
  due_at, first_at, attempts, reason, sender, message_id)
VALUES :rows... ON CONFLICT (entry, recipient, target) DO UPDATE SET due_at = excluded.due_at,
  attempts = excluded.attempts, reason = excluded.reason

-- name: accounts
SELECT id, address FROM account WHERE address IN (:addresses...) AND enabled = 1 AND removed_at IS NULL
