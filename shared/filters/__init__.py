"""Scanners and filters: clients of the programs that look at mail, and what follows from what they say."""
