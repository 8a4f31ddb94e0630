"""Detectors without a network, on pixels or tables."""
