"""Work with one model: fit a source, score a source, write a report."""
