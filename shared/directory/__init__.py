"""Who exists: domains, accounts, aliases, passwords; where an address leads."""

from shared.directory.directory import Directory
from shared.directory.model import Account, Domain, Expansion, Verdict

__all__ = ["Account", "Directory", "Domain", "Expansion", "Verdict"]
