-- Recipients that wait are looked for without regard to case, the newest entries first; these two take the
-- place of indexes that knew the spelling only (which nothing but the API's list has used).

CREATE INDEX pending_recipient_lower ON pending (lower(recipient), entry, recipient, target);
CREATE INDEX pending_sender_lower ON pending (lower(sender), entry, recipient, target);
DROP INDEX pending_recipient;
DROP INDEX pending_sender;
