"""IMAP without IO: receive buffer, grammar, commands, responses, views, search, states (RFC 3501)."""
