"""Loss and AUC of several runs by epoch, in one plot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from insphere.errors import DataError
from insphere.figures import layout, style
from insphere.figures.history import Rows, series

LOSS_AXIS = "loss"
AUC_AXIS = "AUC in %"


@dataclass(frozen=True, eq=False)
class Line:
    """One quantity of one run by epoch.

    Parameters
    ----------
    name : str
        Name of the run.
    epochs, values : ndarray, shape (n,)
        Where and what.
    """

    name: str
    epochs: NDArray[np.float64]
    values: NDArray[np.float64]


def epoch_lines(histories: Mapping[str, Rows]) -> dict[str, list[Line]]:
    """Return the lines to draw, by the axis they belong to.

    Parameters
    ----------
    histories : mapping of str to sequence of mapping
        History of each run, by name: rows with ``epoch``, ``loss`` and, if it was measured,
        ``auc`` (a share). Only the phase "train" is shown. Epochs without an AUC are left out.
    """
    found: dict[str, list[Line]] = {}
    for axis, key, factor in ((LOSS_AXIS, "loss", 1.0), (AUC_AXIS, "auc", 100.0)):
        lines = []
        for name, rows in histories.items():
            epochs, values = series(rows, "train", key)
            here = np.isfinite(values)
            if here.any():
                lines.append(Line(name, epochs[here], factor * values[here]))
        if lines:
            found[axis] = lines
    return found


def is_wide(lines: list[Line]) -> bool:
    """Whether values span so much that they are to be drawn on a logarithmic scale."""
    values = np.concatenate([line.values for line in lines])
    return bool(values.min() > 0 and values.max() > 20 * values.min())


def log_ticks(lines: list[Line]) -> list[float]:
    """Return round numbers (1, 2, 5, 10, …) between the smallest and the largest value."""
    values = np.concatenate([line.values for line in lines])
    low, high = float(values.min()), float(values.max())
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    found = [step * 10.0**decade for decade in decades for step in (1, 2, 5)]
    return [tick for tick in found if 0.99 * low <= tick <= 1.01 * high]


def training_lines(histories: Mapping[str, Rows], title: str = "") -> Figure:
    """Draw loss and, where it was measured, AUC while training, a line for each run.

    Parameters
    ----------
    histories : mapping of str to sequence of mapping
        As for `epoch_lines`.
    title : str
        Heading of the figure.
    """
    found = epoch_lines(histories)
    if not found:
        raise DataError("There is no training whose loss could be drawn.")
    names = list(histories)
    figure, axes = layout.panels(len(found), width=6.8, height=0.9 + 2.5 * len(found))
    for ax, (axis, lines) in zip(axes, found.items(), strict=True):
        for line in lines:
            look = style.look(names.index(line.name))
            few = len(line.epochs) // 8 + 1
            ax.plot(
                line.epochs, line.values, color=look.colour, linestyle=look.line, linewidth=1.6,
                marker=look.marker, markersize=4.2, markevery=few, label=line.name,
            )  # fmt: skip
        ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
        if axis == LOSS_AXIS and is_wide(lines):
            ax.set_yscale("log")
            ticks = log_ticks(lines)
            ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
            ax.set_yticks([], minor=True)
        style.label(ax, y=axis)
    for ax in axes[:-1]:
        ax.tick_params(labelbottom=False)
        ax.sharex(axes[-1])
    style.label(axes[-1], x="epoch")
    layout.side_legend(axes[0])
    layout.heading(figure, title)
    return figure
