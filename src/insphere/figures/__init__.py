"""Figures: data in, a Matplotlib `Figure` out. No pyplot, no global state, no display needed.

`insphere.figures.interactive` has functions of the same names that return figures for the screen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from insphere.lazy_names import lazy_names

if TYPE_CHECKING:
    from insphere.figures.auc_heatmap import heat_map as heat_map
    from insphere.figures.bars import change_bars as change_bars
    from insphere.figures.bars import option_bars as option_bars
    from insphere.figures.bars import published_bars as published_bars
    from insphere.figures.collapse_chart import collapse_curves as collapse_curves
    from insphere.figures.comparison import critical_difference as critical_difference
    from insphere.figures.curves import precision_recall_curve as precision_recall_curve
    from insphere.figures.curves import precision_recall_curves as precision_recall_curves
    from insphere.figures.curves import roc_curve as roc_curve
    from insphere.figures.curves import roc_curves as roc_curves
    from insphere.figures.distributions import auc_histogram as auc_histogram
    from insphere.figures.distributions import boxes as boxes
    from insphere.figures.distributions import violins as violins
    from insphere.figures.drift_plot import drift_chart as drift_chart
    from insphere.figures.epochs import training_lines as training_lines
    from insphere.figures.export import to_inline_svg as to_inline_svg
    from insphere.figures.export import to_png as to_png
    from insphere.figures.export import to_svg as to_svg
    from insphere.figures.gains import gain_bars as gain_bars
    from insphere.figures.grid import image_grid as image_grid
    from insphere.figures.history import guard_curves as guard_curves
    from insphere.figures.history import has_guard_curves as has_guard_curves
    from insphere.figures.history import training_curves as training_curves
    from insphere.figures.latent_map import latent_plane as latent_plane
    from insphere.figures.overlay import heat_key as heat_key
    from insphere.figures.overlay import heat_overlay as heat_overlay
    from insphere.figures.previews import dataset_preview as dataset_preview
    from insphere.figures.previews import images_by_score as images_by_score
    from insphere.figures.relations import joint_density as joint_density
    from insphere.figures.relations import pair_plot as pair_plot
    from insphere.figures.scores import score_distributions as score_distributions
    from insphere.figures.scores import score_histogram as score_histogram
    from insphere.figures.space import auc_space as auc_space
    from insphere.figures.space import radar as radar
    from insphere.figures.stretch import stretches as stretches

# Imported at first use, so that workers, which only name what a run measured, start without
# Matplotlib. No file has the name of a function in it: as an attribute of this package, the file
# would take its place.
_HOME = {
    "auc_histogram": "distributions",
    "auc_space": "space",
    "boxes": "distributions",
    "change_bars": "bars",
    "collapse_curves": "collapse_chart",
    "critical_difference": "comparison",
    "dataset_preview": "previews",
    "drift_chart": "drift_plot",
    "gain_bars": "gains",
    "guard_curves": "history",
    "has_guard_curves": "history",
    "heat_key": "overlay",
    "heat_map": "auc_heatmap",
    "heat_overlay": "overlay",
    "image_grid": "grid",
    "images_by_score": "previews",
    "joint_density": "relations",
    "latent_plane": "latent_map",
    "option_bars": "bars",
    "pair_plot": "relations",
    "precision_recall_curve": "curves",
    "precision_recall_curves": "curves",
    "published_bars": "bars",
    "radar": "space",
    "roc_curve": "curves",
    "roc_curves": "curves",
    "score_distributions": "scores",
    "score_histogram": "scores",
    "stretches": "stretch",
    "to_inline_svg": "export",
    "to_png": "export",
    "to_svg": "export",
    "training_curves": "history",
    "training_lines": "epochs",
    "violins": "distributions",
}

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

__getattr__, __dir__ = lazy_names(__name__, _HOME.get)
