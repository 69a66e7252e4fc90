"""Copies of a data directory: made while the server writes, verified, and restored into a new directory."""
