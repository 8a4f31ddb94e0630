"""Distribution of the AUCs of many runs: histogram, violins, boxes; a panel for each data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from insphere.errors import DataError
from insphere.figures import layout, style
from insphere.figures.measured import Runs, datasets, options, percent, select_runs

AXIS = "AUC in %"
STEPS = (0.25, 0.5, 1.0, 2.5, 5.0)  # points of AUC in a bin
MOST_BINS = 28
_Draw = Callable[[Axes, Sequence[tuple[str, NDArray[np.float64]]]], None]


def auc_edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return edges of bins at round numbers, at most 28 or so, for AUCs in per cent."""
    low, high = float(values.min()), float(values.max())
    step = next((step for step in STEPS if (high - low) / step <= MOST_BINS), STEPS[-1])
    first, last = np.floor(low / step), np.floor(high / step) + 1
    return np.asarray(step * np.arange(first, last + 1), dtype=np.float64)


def by_median(runs: Runs) -> list[tuple[str, NDArray[np.float64]]]:
    """Return the AUCs of each option in per cent, the option with the highest median first."""
    found = [(name, percent(select_runs(runs, option=name))) for name in options(runs)]
    return sorted(found, key=lambda item: -float(np.median(item[1])))


def auc_histogram(runs: Runs, title: str = "") -> Figure:
    """Draw a histogram of the AUCs of runs, a panel for each data set.

    Parameters
    ----------
    runs : sequence of Measured
        Runs on any datasets.
    title : str
        Heading of the figure.
    """
    if not runs:
        raise DataError("A histogram needs at least one run.")
    edges = auc_edges(percent(runs))
    names = datasets(runs)
    figure, axes = layout.panels(len(names), width=6.2, height=1.1 + 1.45 * len(names))
    for place, (ax, name) in enumerate(zip(axes, names, strict=True)):
        values = percent(select_runs(runs, dataset=name))
        look = style.look(place)
        ax.bar(
            edges[:-1], np.histogram(values, edges)[0], np.diff(edges), align="edge",
            color=look.colour, hatch=look.hatch, edgecolor=style.HATCHING, linewidth=0.6,
        )  # fmt: skip
        median = float(np.median(values))
        ax.axvline(median, color=style.INK, linewidth=1.2, linestyle=(0, (3.2, 2)))
        ax.set_xlim(edges[0], edges[-1])
        ax.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
        ax.grid(False, axis="x")
        layout.panel_title(ax, name)
        style.note(ax, f"{len(values)} runs, median {median:.1f}", 1, 1.05, ha="right", va="bottom")
        style.label(ax, y="runs")
        if ax is not axes[-1]:
            ax.tick_params(labelbottom=False)
    style.label(axes[-1], x=AXIS)
    layout.heading(figure, title)
    return figure


def violins(runs: Runs, title: str = "") -> Figure:
    """Draw the AUCs of every option as a violin with its runs as points; needs "figures".

    A violin is as wide as the density there (Gaussian kernels, Scott's rule) and ends at the
    outermost runs. Options with fewer than three runs are points only.

    Parameters
    ----------
    runs : sequence of Measured
        Runs on any datasets.
    title : str
        Heading of the figure.
    """

    def draw(ax: Axes, groups: Sequence[tuple[str, NDArray[np.float64]]]) -> None:
        values = [v if len(v) > 2 and np.ptp(v) > 0 else v[:0] for _, v in groups]
        style.seaborn().violinplot(
            values, orient="h", ax=ax, cut=0, inner=None, density_norm="width", width=0.8,
            color=style.NORMAL, linewidth=0, alpha=0.3,
        )  # fmt: skip
        _medians(ax, groups)

    return _by_dataset(runs, draw, title)


def boxes(runs: Runs, title: str = "") -> Figure:
    """Draw the AUCs of every option as a box with its runs as points; needs "figures".

    A box holds the middle half of the runs and its line is the median; whiskers reach to the
    outermost runs within 1.5 times its length.

    Parameters
    ----------
    runs : sequence of Measured
        Runs on any datasets.
    title : str
        Heading of the figure.
    """

    def draw(ax: Axes, groups: Sequence[tuple[str, NDArray[np.float64]]]) -> None:
        style.seaborn().boxplot(
            [v for _, v in groups], orient="h", ax=ax, width=0.55, fliersize=0,
            color="#cfe3f0", linecolor=style.INK, linewidth=0.9,
        )  # fmt: skip

    return _by_dataset(runs, draw, title)


def _by_dataset(runs: Runs, draw: _Draw, title: str) -> Figure:
    if not runs:
        raise DataError("This figure needs at least one run.")
    names = datasets(runs)
    groups = [by_median(select_runs(runs, dataset=name)) for name in names]
    lines = [len(one) for one in groups]
    row = 0.04 + layout.row_height(options(runs))
    figure, axes = layout.panels(
        len(names), width=6.6, height=1.0 + 0.55 * len(names) + row * sum(lines),
        heights=lines,
    )  # fmt: skip
    for ax, name, found in zip(axes, names, groups, strict=True):
        draw(ax, found)
        _points(ax, found)
        layout.beside(ax, [option for option, _ in found])
        ax.set_ylim(len(found) - 0.45, -0.55)
        ax.grid(False, axis="y")
        layout.panel_title(ax, name)
        style.label(ax, x="", y="")
    style.label(axes[-1], x=AXIS)
    layout.heading(figure, title)
    return figure


def _points(ax: Axes, groups: Sequence[tuple[str, NDArray[np.float64]]]) -> None:
    for place, (_, values) in enumerate(groups):
        ax.scatter(
            values, place + 0.3 * scattered(len(values)), s=11, facecolor=style.PAPER,
            edgecolor=style.INK, linewidth=0.7, alpha=0.85, zorder=4,
        )  # fmt: skip


def _medians(ax: Axes, groups: Sequence[tuple[str, NDArray[np.float64]]]) -> None:
    for place, (_, values) in enumerate(groups):
        ax.plot([np.median(values)] * 2, [place - 0.32, place + 0.32], color=style.INK, linewidth=2)


def scattered(n: int) -> NDArray[np.float64]:
    """Return n numbers between −½ and ½ that look random but are always the same."""
    return np.asarray((np.arange(n) * 0.6180339887498949) % 1 - 0.5, dtype=np.float64)
