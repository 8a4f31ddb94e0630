"""AUC under attack, by the size of the change that the attack may make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from insphere.errors import DataError
from insphere.figures import layout, style

CHANCE = 50.0


@dataclass(frozen=True)
class Reached:
    """AUCs measured at one size of the change.

    Parameters
    ----------
    radius : float
        How far an attack may go; 0 for none.
    aucs : sequence of float
        AUC in per cent, one a seed.
    """

    radius: float
    aucs: Sequence[float]


def radius_curves(panels: Mapping[str, Mapping[str, Sequence[Reached]]]) -> Figure:
    """Draw the mean AUC by radius, with the range over seeds behind it, one panel for each norm.

    Parameters
    ----------
    panels : mapping
        By what stands below the axis of a panel: for each detector, by name, its points with
        growing radius, that of 0 first.

    Raises
    ------
    DataError
        If there is nothing to draw.
    """
    if not panels or not any(panels.values()):
        raise DataError("There is no attack on a detector to draw.")
    figure, axes = layout.panels(len(panels), width=6.6, height=2.7 * len(panels) + 0.6)
    for ax, (below, curves) in zip(axes, panels.items(), strict=True):
        ax.axhline(CHANCE, color=style.MUTED, linestyle=":", linewidth=1)
        for place, (name, points) in enumerate(curves.items()):
            look = style.look(place)
            at = np.arange(len(points))
            means = [float(np.mean(point.aucs)) for point in points]
            ax.fill_between(
                at, [min(p.aucs) for p in points], [max(p.aucs) for p in points],
                color=look.colour, alpha=0.15, linewidth=0,
            )  # fmt: skip
            ax.plot(
                at, means, label=name, color=look.colour, linestyle=look.line, marker=look.marker,
                markersize=4.5, linewidth=1.6,
            )  # fmt: skip
        radii = [point.radius for point in next(iter(curves.values()))]
        ax.set_xticks(range(len(radii)), [f"{radius:g}" for radius in radii])
        ax.set_ylim(-3, 103)
        style.label(ax, x=below, y="AUC, %")
    layout.figure_legend(figure, axes[0], columns=2)
    return figure
