"""Builds the built-in fact bank from pinned registry packages. Runs in an environment of its own."""
