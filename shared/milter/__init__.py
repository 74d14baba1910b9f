"""The Sendmail milter protocol, version 6: packets and conversations without IO."""
