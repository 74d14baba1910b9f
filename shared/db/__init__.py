"""SQL, on SQLite or PostgreSQL: one schema, one set of named queries, transactions as generators."""

from shared.db.database import Conflict, Database, DatabaseUnavailable, Rows, Work, connect, read_ahead
from shared.db.statement import Engine, Query, Statement, load

__all__ = [
    "Conflict",
    "Database",
    "DatabaseUnavailable",
    "Engine",
    "Query",
    "Rows",
    "Statement",
    "Work",
    "connect",
    "load",
    "read_ahead",
]
