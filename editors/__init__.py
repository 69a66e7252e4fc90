"""Everything that changes what a model says."""
