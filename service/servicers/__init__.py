"""Thin: a message becomes a domain value, a command does the work, its result becomes a message."""
