"""Running many runs: in parallel processes, from a queue, with progress."""
