"""Histogram, violins and boxes of AUCs for the screen."""

from __future__ import annotations

from typing import Any

import numpy as np

from insphere.errors import DataError
from insphere.figures import style
from insphere.figures.distributions import AXIS, auc_edges, by_median
from insphere.figures.interactive.style import axes, go, hatched, new_figure, plain, tinted
from insphere.figures.measured import Runs, datasets, percent, select_runs


def auc_histogram(runs: Runs, title: str = "") -> Any:
    """Show how many runs reached which AUC, the datasets one upon the other.

    The parameters are those of `insphere.figures.distributions.auc_histogram`.
    """
    if not runs:
        raise DataError("A histogram needs at least one run.")
    edges = auc_edges(percent(runs))
    middles, width = (edges[:-1] + edges[1:]) / 2, float(edges[1] - edges[0])
    figure = new_figure(title)
    for place, name in enumerate(datasets(runs)):
        counts = np.histogram(percent(select_runs(runs, dataset=name)), edges)[0]
        figure.add_trace(
            go.Bar(
                x=middles,
                y=counts,
                width=width,
                name=plain(name),
                marker=hatched(style.look(place)),
                customdata=np.column_stack([edges[:-1], edges[1:]]),
                hovertemplate="%{customdata[0]:g} to %{customdata[1]:g} %: %{y} runs",
            )
        )
    figure.update_layout(barmode="stack", bargap=0)
    axes(figure, x=AXIS, y="runs")
    return figure


def violins(runs: Runs, title: str = "") -> Any:
    """Show the AUCs of every option as a violin with its runs as points.

    The parameters are those of `insphere.figures.distributions.violins`.
    """

    def trace(values: Any, **shared: Any) -> Any:
        # Scott's rule, as in the printed figure; Plotly's own is another.
        spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
        return go.Violin(
            x=values,
            spanmode="hard",
            bandwidth=spread * len(values) ** -0.2 or None,
            points="all",
            pointpos=0,
            meanline={"visible": False},
            scalemode="width",
            width=0.8,
            **shared,
        )

    return _by_dataset(runs, trace, title)


def boxes(runs: Runs, title: str = "") -> Any:
    """Show the AUCs of every option as a box with its runs as points.

    The parameters are those of `insphere.figures.distributions.boxes`.
    """

    def trace(values: Any, **shared: Any) -> Any:
        return go.Box(
            x=values, boxpoints="all", pointpos=0, quartilemethod="linear", width=0.55, **shared
        )

    return _by_dataset(runs, trace, title)


def _by_dataset(runs: Runs, trace: Any, title: str) -> Any:
    if not runs:
        raise DataError("This figure needs at least one run.")
    names = datasets(runs)
    groups = [by_median(select_runs(runs, dataset=name)) for name in names]
    lines = [len(one) for one in groups]
    many: dict[str, Any] = {} if len(names) == 1 else {
        "row_heights": lines[:], "vertical_spacing": 0.09,
        "subplot_titles": [plain(name) for name in names],
    }  # fmt: skip
    figure = new_figure(title, rows=len(names), **many)
    for row, (name, found) in enumerate(zip(names, groups, strict=True), start=1):
        where: dict[str, Any] = {} if len(names) == 1 else {"row": row, "col": 1}
        for option, values in found:
            here = select_runs(runs, dataset=name, option=option)
            figure.add_trace(
                trace(
                    values,
                    y=[plain(option)] * len(values),
                    name=plain(option),
                    orientation="h",
                    jitter=0.35,
                    line={"color": style.INK, "width": 1.2},
                    fillcolor=tinted(style.NORMAL, 0.25),
                    marker={
                        "size": 6,
                        "color": style.PAPER,
                        "line": {"width": 1, "color": style.INK},
                    },
                    text=[plain(f"{run.normal}, seed {run.seed}") for run in here],
                    customdata=[run.run for run in here],
                    hovertemplate="%{text}: %{x:.2f}<extra></extra>",
                    showlegend=False,
                ),
                **where,
            )
        order = [plain(option) for option, _ in found]
        figure.update_yaxes(
            categoryorder="array", categoryarray=order[::-1], showgrid=False, **where
        )
        axes(figure, x=AXIS if row == len(names) else "", **where)
    if len(names) > 1:
        figure.update_annotations(x=0)
    figure.update_layout(height=150 + 70 * len(names) + 42 * sum(lines))
    return figure
