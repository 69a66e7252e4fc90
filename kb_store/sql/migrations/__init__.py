"""Schema versions, up and down; run by `kb_store.sql.migrate`."""
