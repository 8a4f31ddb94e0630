"""Figures: data in, a Matplotlib `Figure` out. No pyplot, no global state, no display needed."""

from insphere.figures.collapse import collapse_curves
from insphere.figures.curves import precision_recall_curve, roc_curve
from insphere.figures.drift import drift_chart
from insphere.figures.export import to_inline_svg, to_png, to_svg
from insphere.figures.grid import image_grid
from insphere.figures.history import guard_curves, has_guard_curves, training_curves
from insphere.figures.overlay import heat_key, heat_overlay
from insphere.figures.scores import score_histogram

__all__ = [
    "collapse_curves",
    "drift_chart",
    "guard_curves",
    "has_guard_curves",
    "heat_key",
    "heat_overlay",
    "image_grid",
    "precision_recall_curve",
    "roc_curve",
    "score_histogram",
    "to_inline_svg",
    "to_png",
    "to_svg",
    "training_curves",
]
