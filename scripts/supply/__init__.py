"""The supply chain: locks with hashes, known weaknesses, what is inside, under which licences."""
