"""Editors that change weights: ROME, MEMIT and fine-tuning, each reversible to the byte."""
