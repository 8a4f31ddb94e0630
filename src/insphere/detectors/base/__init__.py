"""The base classes of all detectors."""
