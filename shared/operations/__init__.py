"""What an operator asks and does: the same functions behind the command line and the API."""
