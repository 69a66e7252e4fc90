"""What `interleaf doctor` looks at."""
