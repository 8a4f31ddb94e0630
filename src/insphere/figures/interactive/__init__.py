"""Figures for the screen: the same data in, a Plotly `Figure` out; needs the extra "figures".

Every function takes what the printed figure of the same name takes, and lies in the file of the
same name.
"""

from insphere.figures.interactive.auc_heatmap import heat_map
from insphere.figures.interactive.bars import change_bars, option_bars, published_bars
from insphere.figures.interactive.comparison import critical_difference
from insphere.figures.interactive.curves import (
    precision_recall_curve,
    precision_recall_curves,
    roc_curve,
    roc_curves,
)
from insphere.figures.interactive.distributions import auc_histogram, boxes, violins
from insphere.figures.interactive.epochs import training_lines
from insphere.figures.interactive.export import to_html
from insphere.figures.interactive.gains import gain_bars
from insphere.figures.interactive.latent_map import latent_plane
from insphere.figures.interactive.relations import joint_density, pair_plot
from insphere.figures.interactive.scores import score_distributions, score_histogram
from insphere.figures.interactive.space import auc_space, radar

__all__ = [
    "auc_histogram",
    "auc_space",
    "boxes",
    "change_bars",
    "critical_difference",
    "gain_bars",
    "heat_map",
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
    "to_html",
    "training_lines",
    "violins",
]
