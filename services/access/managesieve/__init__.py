"""ManageSieve (RFC 5804): users keep their Sieve scripts."""
