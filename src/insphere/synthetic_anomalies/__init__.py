"""Synthetic anomalies: damage made from normal images alone, for training and for comparing."""

from insphere.synthetic_anomalies.synthesize import SyntheticAnomalies, mixed, synthesize
from insphere.synthetic_anomalies.table import KINDS

__all__ = ["KINDS", "SyntheticAnomalies", "mixed", "synthesize"]
