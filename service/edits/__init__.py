"""Edits of the model's weights as jobs, on disk, and on the served model."""
