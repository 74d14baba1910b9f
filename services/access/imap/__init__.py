"""IMAP sessions: one file per command or group of commands (RFC 3501)."""
