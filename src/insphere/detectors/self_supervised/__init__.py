"""Detectors that learn from synthetic anomalies."""
