"""Facts: what they are, where they are kept, how they are found. Knows no model and no protocol."""
