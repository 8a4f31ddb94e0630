"""Figures: data in, a Matplotlib `Figure` out. No pyplot, no global state, no display needed.

`insphere.figures.interactive` has functions of the same names that return figures for the screen.
"""

from insphere.figures.auc_heatmap import heat_map
from insphere.figures.bars import change_bars, option_bars, published_bars
from insphere.figures.collapse_chart import collapse_curves
from insphere.figures.comparison import critical_difference
from insphere.figures.curves import (
    precision_recall_curve,
    precision_recall_curves,
    roc_curve,
    roc_curves,
)
from insphere.figures.distributions import auc_histogram, boxes, violins
from insphere.figures.drift_chart import drift_chart
from insphere.figures.epochs import training_lines
from insphere.figures.export import to_inline_svg, to_png, to_svg
from insphere.figures.gains import gain_bars
from insphere.figures.grid import image_grid
from insphere.figures.history import guard_curves, has_guard_curves, training_curves
from insphere.figures.latent_map import latent_plane
from insphere.figures.overlay import heat_key, heat_overlay
from insphere.figures.previews import dataset_preview, images_by_score
from insphere.figures.relations import joint_density, pair_plot
from insphere.figures.scores import score_distributions, score_histogram
from insphere.figures.space import auc_space, radar
from insphere.figures.stretch import stretches

__all__ = [
    "auc_histogram",
    "auc_space",
    "boxes",
    "change_bars",
    "collapse_curves",
    "critical_difference",
    "dataset_preview",
    "drift_chart",
    "gain_bars",
    "guard_curves",
    "has_guard_curves",
    "heat_key",
    "heat_map",
    "heat_overlay",
    "image_grid",
    "images_by_score",
    "joint_density",
    "latent_plane",
    "option_bars",
    "pair_plot",
    "precision_recall_curve",
    "precision_recall_curves",
    "published_bars",
    "radar",
    "roc_curve",
    "roc_curves",
    "score_distributions",
    "score_histogram",
    "stretches",
    "to_inline_svg",
    "to_png",
    "to_svg",
    "training_curves",
    "training_lines",
    "violins",
]
