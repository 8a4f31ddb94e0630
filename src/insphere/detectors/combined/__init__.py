"""Several detectors together."""
