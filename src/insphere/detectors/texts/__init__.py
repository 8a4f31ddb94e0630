"""Detectors on texts: a frozen language model with a head, and a model of the characters."""
