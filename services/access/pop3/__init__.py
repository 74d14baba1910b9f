"""POP3 sessions (RFC 1939)."""
