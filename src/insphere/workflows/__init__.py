"""One thing done to one model: fit a source, score a source, report on it."""
