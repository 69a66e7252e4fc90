"""How well an edit took: one implementation of every metric, for receipts, comparisons and benchmarks."""
