"""Detectors that score the error of a reconstruction by a network."""
