"""The list of all figures of finished runs, in the order in which they are drawn and offered.

A new figure needs one line here and one file in this folder, which declares it as a `FigureSpec`.
"""

from __future__ import annotations

FIGURES = {
    "preview": "run_figures:PREVIEW",
    "bars": "comparison_figures:BARS",
    "change": "comparison_figures:CHANGE",
    "gains": "comparison_figures:GAINS",
    "published": "comparison_figures:PUBLISHED",
    "heat": "overview_figures:HEAT",
    "ranks": "overview_figures:RANKS",
    "histogram": "overview_figures:HISTOGRAM",
    "violins": "overview_figures:VIOLINS",
    "boxes": "overview_figures:BOXES",
    "space": "overview_figures:SPACE",
    "time": "time_figure:TIME",
    "radar": "overview_figures:RADAR",
    "pairs": "overview_figures:PAIRS",
    "joint": "overview_figures:JOINT",
    "training": "run_figures:TRAINING",
    "roc": "run_figures:ROC",
    "pr": "run_figures:PRECISION_RECALL",
    "scores": "run_figures:SCORES",
    "sorted": "run_figures:SORTED",
    "latent": "run_figures:LATENT",
}
"""``module:NAME`` of each `FigureSpec`, by its name for ``insphere figures --only``."""
