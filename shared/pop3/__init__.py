"""POP3 without IO: receive buffer, commands, responses, multi-line octets, states (RFC 1939)."""
