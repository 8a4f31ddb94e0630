"""What a score means: thresholds, z-scores and how well scores separate."""

from insphere.scoring.metrics import Evaluation, evaluate_scores
from insphere.scoring.pixels import PixelEvaluation, evaluate_maps, per_region_overlap
from insphere.scoring.thresholds import (
    conformal_calibration_size,
    conformal_threshold,
    contamination_threshold,
)
from insphere.scoring.zscores import display_z_scores, score_scale, z_scores

__all__ = [
    "Evaluation",
    "PixelEvaluation",
    "conformal_calibration_size",
    "conformal_threshold",
    "contamination_threshold",
    "display_z_scores",
    "evaluate_maps",
    "evaluate_scores",
    "per_region_overlap",
    "score_scale",
    "z_scores",
]
