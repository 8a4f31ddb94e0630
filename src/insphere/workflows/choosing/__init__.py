"""Choosing a method for a folder of normal images, without a labelled anomaly."""
