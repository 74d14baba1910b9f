-- The words of messages, by blocks of one mailbox (shared.mailbox.words); what is in no block is searched as it lies.

CREATE TABLE search_block (
  id @identity@,
  mailbox_id BIGINT NOT NULL REFERENCES mailbox (id) ON DELETE CASCADE,
  first_uid BIGINT NOT NULL,
  last_uid BIGINT NOT NULL,
  messages BIGINT NOT NULL,                         -- in the block, expunged ones included
  built_at BIGINT NOT NULL,                         -- Unix seconds
  uids @bytes@ NOT NULL,                            -- their ranges: first and last, 32 bits each
  words @bytes@ NOT NULL,                           -- distinct, each after and before a line end
  postings @bytes@ NOT NULL,                        -- which message has which word
  UNIQUE (mailbox_id, first_uid)
);
