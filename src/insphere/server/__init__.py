"""Models behind an address: HTTP in, scores out, the same as those of the library."""
