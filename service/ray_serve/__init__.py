"""Engines under Ray Serve."""
