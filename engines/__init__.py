"""The served model, with facts in its attention. Knows no store."""
