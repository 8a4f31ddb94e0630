"""Lines over positions, one below the other, with a marked stretch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from numpy.typing import NDArray

from insphere.figures import style

PANEL_INCHES = 1.1


def stretches(curves: Sequence[tuple[str, NDArray[Any], tuple[int, int] | None]]) -> Figure:
    """Draw lines one below the other, each with its marked stretch.

    Parameters
    ----------
    curves : sequence of (name, y, marked)
        Name, values of shape (n,), and first position and the one after the last of what is
        marked, or None.
    """
    figure, axes = style.new_figure(len(curves), height=0.4 + PANEL_INCHES * len(curves))
    for ax, (name, y, marked) in zip(axes, curves, strict=True):
        ax.plot(y, color=style.NORMAL, linewidth=1)
        if marked is not None:
            ax.axvspan(marked[0], marked[1], color=style.ANOMALOUS, alpha=0.15, linewidth=0)
        style.label(ax, y=name)
    return figure
