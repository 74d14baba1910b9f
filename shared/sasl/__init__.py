"""SASL, the server's side: mechanisms as state machines that end in credentials to verify; no IO."""
