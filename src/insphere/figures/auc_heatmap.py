"""Heat maps of AUCs: options by data set, or options by class of one data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from insphere.errors import DataError
from insphere.figures import layout, style
from insphere.figures.measured import (
    Runs,
    by_class,
    classes,
    datasets,
    options,
    over_classes,
    select_runs,
)

COLOURS = "cividis"  # even in lightness, made for colour-blind readers
COLOUR_BAR = "AUC in %"


@dataclass(frozen=True, eq=False)
class HeatTable:
    """Numbers of a heat map.

    Parameters
    ----------
    rows, columns : tuple of str
        Names: options, and datasets or classes.
    values : ndarray, shape (n_rows, n_columns)
        In per cent; NaN where nothing was measured.
    texts : tuple of tuple of str
        What stands in each cell.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: NDArray[np.float64]
    texts: tuple[tuple[str, ...], ...]


def heat_table(runs: Runs, by: Literal["dataset", "class"] = "dataset") -> HeatTable:
    """Return the AUC of every option, by dataset (mean over its classes) or by class.

    A mean over fewer classes than another option has is marked with their number.

    Parameters
    ----------
    runs : sequence of Measured
        Runs; by class, on one dataset.
    by : {"dataset", "class"}
        What the columns are.
    """
    rows = options(runs)
    columns = datasets(runs) if by == "dataset" else classes(runs)
    values = np.full((len(rows), len(columns)), np.nan)
    texts = [["–"] * len(columns) for _ in rows]
    for i, option in enumerate(rows):
        for j, column in enumerate(columns):
            if by == "class":
                here = [run for run in select_runs(runs, option=option) if run.normal == column]
                few = ""
            else:
                here = select_runs(runs, dataset=column, option=option)
                of = len(classes(select_runs(runs, dataset=column)))
                few = f" ({len(classes(here))}/{of})" if len(classes(here)) < of else ""
            if here:
                spread = by_class(here)[column] if by == "class" else over_classes(here)
                values[i, j] = spread.mean
                texts[i][j] = f"{spread.mean:.1f}{few}"
    return HeatTable(tuple(rows), tuple(columns), values, tuple(map(tuple, texts)))


def heat_map(table: HeatTable, title: str = "") -> Figure:
    """Draw a heat map with its numbers in the cells; it needs the extra "figures".

    Parameters
    ----------
    table : HeatTable
        From `heat_table`.
    title : str
        Heading of the figure.
    """
    if not np.isfinite(table.values).any():
        raise DataError("A heat map needs at least one number.")
    seaborn = style.seaborn()
    rows, columns = table.values.shape
    width = min(9.5, 3.3 + max(0.62, min(1.3, 6.5 / columns)) * columns)
    figure, (ax,) = layout.panels(
        1, width=width, height=1.5 + (0.04 + layout.row_height(table.rows)) * rows
    )
    ax.grid(False)
    seaborn.heatmap(
        table.values, ax=ax, cmap=COLOURS, annot=np.array(table.texts), fmt="",
        mask=~np.isfinite(table.values), linewidths=1.5, linecolor=style.PAPER,
        annot_kws={"fontsize": layout.SMALL, "family": style.FAMILY},
        cbar_kws={"label": COLOUR_BAR, "pad": 0.02},
    )  # fmt: skip
    bar = figure.axes[-1]
    style.dress(bar)
    bar.grid(False)
    bar.tick_params(labelsize=layout.SMALL)
    style.label(bar, y=COLOUR_BAR)
    ax.set_yticks(np.arange(rows) + 0.5, [layout.wrapped(name) for name in table.rows])
    ax.tick_params(axis="y", rotation=0, labelsize=layout.SMALL, labelcolor=style.INK)
    layout.below(ax, table.columns, width=width - 3.2)
    ax.set_xticks(np.arange(columns) + 0.5, [text.get_text() for text in ax.get_xticklabels()])
    for side in ax.spines.values():
        side.set_visible(False)
    _say_nothing(ax, table.texts, table.values)
    layout.heading(figure, title)
    return figure


def _say_nothing(ax: Axes, texts: Sequence[Sequence[str]], values: NDArray[np.float64]) -> None:
    for i, j in np.argwhere(~np.isfinite(values)):
        ax.text(
            j + 0.5, i + 0.5, texts[i][j], ha="center", va="center", color=style.MUTED,
            fontsize=layout.SMALL,
        )  # fmt: skip
