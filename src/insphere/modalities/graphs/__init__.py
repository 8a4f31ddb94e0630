"""Graphs: nodes with features, connected by edges; a sample is a node."""
