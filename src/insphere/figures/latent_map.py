"""The latent space in two dimensions, with centre and radius."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from insphere.figures import layout, style
from insphere.figures.plane import Plane

PROJECTED = "projection: too close to the centre"
SPREAD_OUT = "same directions, true distances"
EXACT = (
    "Inside and outside of the circle are exact here, and so is every distance from the centre. "
    "Distances between two images are not."
)


def latent_plane(plane: Plane, title: str = "") -> Figure:
    """Draw the latent space twice: as a projection, and with the true distances from the centre.

    The circle has the radius of the sphere. In the projection, images outside the sphere may lie
    within it, and the figure says how many do; on the right, inside and outside are exact. The
    farthest points stand at the edge of the picture.

    Parameters
    ----------
    plane : Plane
        From `insphere.figures.plane.flatten`.
    title : str
        Heading of the figure.
    """
    figure, axes = layout.panels(2, columns=2, width=8.4, height=5.6)
    for ax, points, name in zip(
        axes, (plane.projected, plane.spread_out), (PROJECTED, SPREAD_OUT), strict=True
    ):
        _draw(ax, points, plane)
        layout.panel_title(ax, name)
    for ax, text in zip(axes, (plane.honesty, EXACT), strict=True):
        ax.set_xlabel(
            layout.wrapped(text, 56), fontsize=layout.SMALL, color=style.MUTED, loc="left",
            family=style.FAMILY, labelpad=8, parse_math=False,
        )  # fmt: skip
    layout.heading(figure, title)
    layout.figure_legend(figure, axes[0], columns=4)
    return figure


def _draw(ax: Axes, points: NDArray[np.float64], plane: Plane) -> None:
    limit = plane.limit
    shown = points.clip(-limit, limit)
    for name, here, colour, marker, order in (
        ("anomalous", plane.truth, style.ANOMALOUS, "^", 2),
        ("normal", ~plane.truth, style.NORMAL, "o", 3),
    ):
        ax.plot(
            *shown[here].T, linestyle="none", marker=marker, markersize=3.6,
            markerfacecolor=f"{colour}38", markeredgecolor=f"{colour}b0", markeredgewidth=0.6,
            zorder=order, label=f"{name} ({int(here.sum()):,})",
        )  # fmt: skip
    ax.add_patch(
        Circle((0, 0), plane.radius, fill=False, edgecolor=style.INK, linewidth=1.6, zorder=4)
    )
    ax.plot(
        [], [], linestyle="none", marker="o", markersize=10, markerfacecolor="none",
        markeredgecolor=style.INK, markeredgewidth=1.6, label=f"radius {plane.radius:.3g}",
    )  # fmt: skip
    ax.plot(
        [0], [0], linestyle="none", marker="P", markersize=9, markerfacecolor=style.INK,
        markeredgecolor=style.PAPER, zorder=5, label="centre",
    )  # fmt: skip
    ax.set_xlim(-limit, limit)
    ax.set_ylim(-limit, limit)
    ax.set_aspect("equal")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=5))
