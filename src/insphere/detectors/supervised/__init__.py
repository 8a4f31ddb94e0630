"""Detectors that are trained with labels, for comparison."""
