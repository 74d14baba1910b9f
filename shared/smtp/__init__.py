"""SMTP and LMTP (RFC 5321, RFC 2033) without IO: replies, the client's side of a session, DSN parameters."""
