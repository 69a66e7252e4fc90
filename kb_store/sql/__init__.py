"""The store on a SQL database."""

from kb_store.sql.store import SqlStore, open_store

__all__ = ["SqlStore", "open_store"]
