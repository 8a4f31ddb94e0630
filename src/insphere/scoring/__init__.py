"""From scores to decisions: thresholds, p-values, severity, alarms, drift and metrics."""

from insphere.scoring.alarms import AlarmSet, alarm_set
from insphere.scoring.anomalous_share import AnomalousShare, anomalous_share
from insphere.scoring.drift import Drift, detect_drift
from insphere.scoring.metrics import Evaluation, evaluate_scores
from insphere.scoring.pixels import PixelEvaluation, evaluate_maps, per_region_overlap
from insphere.scoring.pvalues import conformal_p_values
from insphere.scoring.severity import SeverityScale, Tail, fit_tail, severity_step
from insphere.scoring.thresholds import (
    conformal_calibration_size,
    conformal_threshold,
    contamination_threshold,
    false_alarm_interval,
)
from insphere.scoring.zscores import display_z_scores, score_scale, z_scores

__all__ = [
    "AlarmSet",
    "AnomalousShare",
    "Drift",
    "Evaluation",
    "PixelEvaluation",
    "SeverityScale",
    "Tail",
    "alarm_set",
    "anomalous_share",
    "conformal_calibration_size",
    "conformal_p_values",
    "conformal_threshold",
    "contamination_threshold",
    "detect_drift",
    "display_z_scores",
    "evaluate_maps",
    "evaluate_scores",
    "false_alarm_interval",
    "fit_tail",
    "per_region_overlap",
    "score_scale",
    "severity_step",
    "z_scores",
]
