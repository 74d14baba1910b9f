"""ManageSieve (RFC 5804) as a server sees it: commands read, responses written, without any IO."""
