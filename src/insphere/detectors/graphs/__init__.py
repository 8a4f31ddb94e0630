"""Detectors on nodes of graphs."""
