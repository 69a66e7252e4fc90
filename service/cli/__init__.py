"""Commands that need the server's packages; they join `interleaf` by entry points."""
