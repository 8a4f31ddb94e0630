"""Relations of measured values: all pairs of several values, and one pair as a density."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from scipy import stats

from insphere.errors import DataError
from insphere.figures import layout, style
from insphere.figures.density import Density2D, density, density_2d
from insphere.figures.measured import Runs, datasets, percent

NAMES = {
    "auc": "AUC",
    "average_precision": "average precision",
    "fpr_at_95_tpr": "false alarms at 95 % caught",
    "balanced_accuracy": "balanced accuracy",
    "false_alarm_rate": "false alarms",
    "recall": "caught at the threshold",
}
PAIRED = ("auc", "average_precision", "fpr_at_95_tpr", "balanced_accuracy")


@dataclass(frozen=True, eq=False)
class Columns:
    """Values of runs, column by column, with the group of each run.

    Parameters
    ----------
    names : tuple of str
        What the columns are.
    table : ndarray, shape (n_runs, n_columns)
        In per cent.
    groups : tuple of tuple (str, ndarray of bool)
        Name of each group and which runs are in it.
    """

    names: tuple[str, ...]
    table: NDArray[np.float64]
    groups: tuple[tuple[str, NDArray[np.bool_]], ...]


def columns(runs: Runs, values: Sequence[str] = PAIRED) -> Columns:
    """Return values of runs side by side; the groups are the datasets.

    Parameters
    ----------
    runs : sequence of Measured
        At least three.
    values : sequence of str
        Which shares.

    Raises
    ------
    DataError
        If there are fewer runs, or one does not have all values.
    """
    if len(runs) < 3:
        raise DataError(f"This figure needs at least 3 runs, but there are {len(runs)}.")
    table = np.column_stack([percent(runs, value) for value in values])
    groups = [(name, np.array([run.dataset == name for run in runs])) for name in datasets(runs)]
    return Columns(tuple(NAMES.get(value, value) for value in values), table, tuple(groups))


def pair_plot(data: Columns, title: str = "") -> Figure:
    """Draw every pair of columns: points below the diagonal, rank correlation above it.

    The diagonal shows the density of one column, each group for itself.

    Parameters
    ----------
    data : Columns
        From `columns`.
    title : str
        Heading of the figure.
    """
    k = len(data.names)
    figure, axes = layout.panels(k * k, columns=k, width=2.0 * k + 0.6, height=1.75 * k + 1)
    for place, ax in enumerate(axes):
        row, column = divmod(place, k)
        if row == column:
            _density_lines(ax, data, row)
        elif row > column:
            _points(ax, data, column, row)
        else:
            _correlation(ax, data, column, row)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MaxNLocator(nbins=3))
        if row == k - 1:
            style.label(ax, x=layout.wrapped(data.names[column], 16))
        else:
            ax.tick_params(labelbottom=False)
        if column == 0 and row:
            style.label(ax, y=layout.wrapped(data.names[row], 16))
        elif row <= column:
            ax.set_yticks([])
        else:
            ax.tick_params(labelleft=False)
    style.label(axes[0], y="density")
    for column in range(k):  # the same scale from the top to the bottom
        low, high = _reach(data.table[:, column])
        for row in range(column, k):
            axes[row * k + column].set_xlim(low, high)
        for other in range(column):
            axes[column * k + other].set_ylim(low, high)
    layout.heading(figure, title)
    layout.figure_legend(figure, axes[0])
    return figure


def joint_density(data: Columns, title: str = "") -> Figure:
    """Draw two columns against each other with contours of their density, and each for itself.

    Contours hold 25, 50, 75 and 95 % of the probability of a group (Gaussian kernels, Scott's
    rule). A group of fewer than five runs has points only.

    Parameters
    ----------
    data : Columns
        From `columns`, with two columns.
    title : str
        Heading of the figure.
    """
    if len(data.names) != 2:
        raise DataError(f"A joint density is of 2 columns, but there are {len(data.names)}.")
    figure = Figure(figsize=(6.2, 5.8), facecolor=style.PAPER, layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(4, 1), height_ratios=(1, 4))
    ax, top, side = (figure.add_subplot(grid[i, j]) for i, j in ((1, 0), (0, 0), (1, 1)))
    for one in (ax, top, side):
        style.dress(one)
    densities = [density_2d(*data.table[here].T) for _, here in data.groups]
    limits = joint_limits(data, densities)
    for place, ((name, here), found) in enumerate(zip(data.groups, densities, strict=True)):
        look = style.look(place)
        x, y = data.table[here].T
        for contour in () if found is None else found.contours:
            ax.plot(*contour.T, color=look.colour, linestyle=look.line, linewidth=1.1, alpha=0.8)
        ax.plot(x, y, label=name, **_mark(look))
        for one, values, (low, high), flipped in (
            (top, x, limits[0], False),
            (side, y, limits[1], True),
        ):
            at, height = density(values, low, high)
            line = (height, at) if flipped else (at, height)
            one.plot(*line, color=look.colour, linestyle=look.line, linewidth=1.5)
    ax.set_xlim(*limits[0])
    ax.set_ylim(*limits[1])
    top.set_xlim(*limits[0])
    side.set_ylim(*limits[1])
    top.tick_params(labelbottom=False)
    side.tick_params(labelleft=False)
    top.set_yticks([])
    side.set_xticks([])
    style.label(ax, x=f"{data.names[0]} in %", y=f"{data.names[1]} in %")
    layout.heading(figure, title)
    layout.figure_legend(figure, ax)
    return figure


def joint_limits(
    data: Columns, densities: Sequence[Density2D | None]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return how far both axes reach: all points and contours, but no share beyond 100 %."""
    found = []
    for column in (0, 1):
        low, high = _reach(data.table[:, column])
        for one in densities:
            for contour in () if one is None else one.contours:
                low = min(low, float(contour[:, column].min()))
                high = max(high, float(contour[:, column].max()))
        margin = 0.02 * (high - low)
        found.append((max(low - margin, -0.5), min(high + margin, 100.5)))
    return found[0], found[1]


def spearman(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Return the rank correlation; NaN where a column does not vary."""
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(stats.spearmanr(x, y).statistic)


def _points(ax: Axes, data: Columns, column: int, row: int) -> None:
    for place, (_, here) in enumerate(data.groups):
        x, y = data.table[here][:, (column, row)].T
        ax.plot(x, y, **_mark(style.look(place)))


def _density_lines(ax: Axes, data: Columns, column: int) -> None:
    low, high = _reach(data.table[:, column])
    for place, (name, here) in enumerate(data.groups):
        look = style.look(place)
        x, height = density(data.table[here][:, column], low, high)
        ax.plot(
            x, height / (height.max() or 1), color=look.colour, linestyle=look.line, linewidth=1.6,
            marker=look.marker, markevery=(7 + 5 * place, 26), markersize=4, label=name,
        )  # fmt: skip
    ax.set_ylim(0, 1.12)


def _correlation(ax: Axes, data: Columns, column: int, row: int) -> None:
    ax.grid(False)
    ax.set_xticks([])
    for side in ax.spines.values():
        side.set_visible(False)
    lines = [
        f"{spearman(*data.table[here][:, (column, row)].T):+.2f}".replace("-", "−").replace(
            "+nan", "–"
        )
        for _, here in data.groups
    ]
    for place, (text, (name, _)) in enumerate(zip(lines, data.groups, strict=True)):
        y = 0.5 + 0.17 * ((len(lines) - 1) / 2 - place)
        ax.text(
            0.5, y, f"{name}  {text}", transform=ax.transAxes, ha="center", va="center",
            fontsize=layout.SMALL, color=style.INK, family=style.FAMILY, parse_math=False,
        )  # fmt: skip


def _mark(look: style.Look) -> dict[str, Any]:
    return {
        "linestyle": "none",
        "marker": look.marker,
        "markersize": 4.2,
        "markerfacecolor": f"{look.colour}60",
        "markeredgecolor": look.colour,
        "markeredgewidth": 0.8,
    }


def _reach(values: NDArray[np.float64]) -> tuple[float, float]:
    margin = 0.06 * float(np.ptp(values)) or 1.0
    return float(values.min()) - margin, float(values.max()) + margin
