-- What an account uses of its quota; this update also is the account's lock.

-- name: charge
UPDATE account SET used_bytes = used_bytes + :bytes, used_messages = used_messages + :messages
WHERE id = :account_id AND removed_at IS NULL AND (quota_bytes = 0 OR used_bytes + :bytes <= quota_bytes)
  AND (quota_messages = 0 OR used_messages + :messages <= quota_messages)
RETURNING used_bytes

-- name: give_back
UPDATE account SET used_bytes = used_bytes - :bytes, used_messages = used_messages - :messages
WHERE id = :account_id

-- name: quota
SELECT quota_bytes, used_bytes, used_messages, quota_messages FROM account WHERE id = :account_id

