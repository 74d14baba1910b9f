-- Rights on mailboxes of other accounts (RFC 4314).

-- name: grants
-- Entries about an account: its own, its domain's, everyone's, and those of aliases that lead to it.
SELECT mailbox_id, identifier, rights FROM acl WHERE identifier IN (:address, :domain, 'anyone', :no_address, :no_domain, '-anyone')
UNION ALL SELECT a.mailbox_id, a.identifier, a.rights FROM alias g JOIN acl a ON a.identifier = g.address
WHERE lower(g.target) = :address
UNION ALL SELECT a.mailbox_id, a.identifier, a.rights FROM alias g JOIN acl a ON a.identifier = '-' || g.address
WHERE lower(g.target) = :address

-- name: subscriptions_and_grants
-- Both at once, because LIST asks for both: mailbox 0 is a subscription.
SELECT CAST(0 AS BIGINT) AS mailbox_id, name AS identifier, '' AS rights FROM subscription WHERE account_id = :account_id
UNION ALL SELECT mailbox_id, identifier, rights FROM acl WHERE identifier IN (:address, :domain, 'anyone', :no_address, :no_domain, '-anyone')
UNION ALL SELECT a.mailbox_id, a.identifier, a.rights FROM alias g JOIN acl a ON a.identifier = g.address
WHERE lower(g.target) = :address
UNION ALL SELECT a.mailbox_id, a.identifier, a.rights FROM alias g JOIN acl a ON a.identifier = '-' || g.address
WHERE lower(g.target) = :address

-- name: grants_on
SELECT identifier, rights FROM acl WHERE mailbox_id = :mailbox_id AND (identifier IN (:address, :domain, 'anyone', :no_address, :no_domain, '-anyone')
  OR identifier IN (SELECT address FROM alias WHERE lower(target) = :address)
  OR identifier IN (SELECT '-' || address FROM alias WHERE lower(target) = :address))

-- name: entries
SELECT identifier, rights FROM acl WHERE mailbox_id = :mailbox_id ORDER BY identifier

-- name: set_entry
INSERT INTO acl (mailbox_id, identifier, rights) VALUES (:mailbox_id, :identifier, :rights)
ON CONFLICT (mailbox_id, identifier) DO UPDATE SET rights = excluded.rights

-- name: delete_entry
DELETE FROM acl WHERE mailbox_id = :mailbox_id AND identifier = :identifier

-- name: copy_entries
INSERT INTO acl (mailbox_id, identifier, rights)
SELECT CAST(:target_id AS BIGINT), identifier, rights FROM acl WHERE mailbox_id = :source_id

-- name: forget_identifier
DELETE FROM acl WHERE identifier = :identifier OR identifier = '-' || :identifier

-- name: owner
SELECT id, address FROM account WHERE address = :address AND removed_at IS NULL

-- name: everyone
SELECT id FROM account WHERE removed_at IS NULL LIMIT :most

-- name: of_domain
SELECT a.id FROM account a JOIN domain d ON d.id = a.domain_id WHERE d.name = :domain AND a.removed_at IS NULL LIMIT :most

-- name: behind
-- The account of an address, and those that an alias of that address leads to.
SELECT id FROM account WHERE address = :address AND removed_at IS NULL
UNION SELECT a.id FROM alias g JOIN account a ON a.address = lower(g.target)
WHERE g.address = :address AND a.removed_at IS NULL LIMIT :most

-- name: owner_of
SELECT address FROM account WHERE id = :account_id

-- name: shared
SELECT a.address, m.id, m.account_id, m.name, m.uidvalidity, m.uidnext, m.modseq, m.messages, m.unseen, m.deleted,
  m.bytes, m.special_use, m.expunge_modseq, m.claimed
FROM mailbox m JOIN account a ON a.id = m.account_id
WHERE m.id IN (:ids...) AND m.account_id <> :account_id AND a.removed_at IS NULL ORDER BY a.address, m.name
