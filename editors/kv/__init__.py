"""The encoder: from a fact to key/value tokens; its training, its phrases, its shipped weights."""
