"""`python -m interleaf.cli` is the same as `interleaf`."""

from interleaf.cli import main

main()
