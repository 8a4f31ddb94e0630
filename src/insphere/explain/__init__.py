"""Why an image got its score: examples from both ends of the scores."""

from insphere.explain.extremes import Extremes, extremes

__all__ = ["Extremes", "extremes"]
