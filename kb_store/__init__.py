"""kb_store."""
