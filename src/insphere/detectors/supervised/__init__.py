"""Supervised detectors, which are trained with labels, for comparison."""
