"""Encoders trained, measured, calibrated and kept."""
