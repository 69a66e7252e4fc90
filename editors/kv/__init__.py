"""editors/kv."""
