"""interleaf."""
