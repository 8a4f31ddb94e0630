"""One run: its spec, its training and its evaluation."""
