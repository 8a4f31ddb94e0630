"""The kinds of heads that a spec can name. A new kind needs one file and one line here."""

from __future__ import annotations

HEADS = {
    "center": "insphere.training.heads.center.CenterSpec",
    "centers": "insphere.training.heads.centers.CentersSpec",
    "ellipsoid": "insphere.training.heads.ellipsoid.EllipsoidSpec",
    "mixture": "insphere.training.heads.mixture.MixtureSpec",
    "flow": "insphere.training.heads.flow.FlowSpec",
    "neighbors": "insphere.training.heads.neighbors.NeighborsSpec",
    "adaptive": "insphere.training.heads.adaptive.AdaptiveSpec",
    "combined": "insphere.training.heads.combined.CombinedSpec",
}
"""Module and class of the settings of each kind."""
