"""Distributions of scores for the screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from insphere.errors import DataError
from insphere.figures import style
from insphere.figures.bins import Histogram, histogram
from insphere.figures.interactive.style import axes, go, new_figure, plain, tinted


def score_histogram(
    scores: ArrayLike,
    threshold: float | None = None,
    truth: ArrayLike | None = None,
    *,
    bins: int = 40,
    title: str = "",
) -> Any:
    """Show the histogram of the scores with the threshold marked.

    The parameters are those of `insphere.figures.score_histogram`.
    """
    data = histogram(scores, threshold, truth, bins=bins)
    figure = new_figure(title)
    _histogram(figure, data)
    suffix = f" (outermost bars gather {data.gathered:,} beyond the axis)" if data.gathered else ""
    axes(figure, x=f"anomaly score{suffix}", y="share of each group" if data.shares else "images")
    figure.update_layout(barmode="overlay", bargap=0, legend={"orientation": "h", "y": 1.08})
    return figure


def score_distributions(histograms: Mapping[str, Histogram], title: str = "") -> Any:
    """Show the scores of several runs, a panel for each.

    The parameters are those of `insphere.figures.scores.score_distributions`.
    """
    if not histograms:
        raise DataError("There are no scores to draw.")
    columns = 2 if len(histograms) > 1 else 1
    rows = -(-len(histograms) // columns)
    many: dict[str, Any] = {} if rows * columns == 1 else {
        "subplot_titles": [plain(name) for name in histograms],
        "vertical_spacing": min(0.12, 0.4 / rows), "horizontal_spacing": 0.09,
    }  # fmt: skip
    figure = new_figure(title, rows=rows, columns=columns, **many)
    for place, data in enumerate(histograms.values()):
        where = {"row": place // columns + 1, "col": place % columns + 1} if many else {}
        _histogram(figure, data, legend=place == 0, **where)
    below: dict[str, Any] = {"row": rows} if many else {}
    axes(figure, x="anomaly score", **below)
    figure.update_layout(
        barmode="overlay", bargap=0, height=130 + 210 * rows,
        legend={"orientation": "h", "y": -0.4 / rows, "yanchor": "top"},
    )  # fmt: skip
    return figure


def _histogram(figure: Any, data: Histogram, *, legend: bool = True, **where: int) -> None:
    middles, widths = (data.edges[:-1] + data.edges[1:]) / 2, np.diff(data.edges)
    for group in data.groups:
        colour = style.ANOMALOUS if group.anomalous else style.NORMAL
        figure.add_trace(
            go.Bar(
                x=middles, y=group.heights, width=widths, legendgroup=group.name, showlegend=legend,
                name=f"{group.name} ({group.size:,})" if not where else group.name,
                marker={
                    "color": tinted(colour, 0.28),
                    "line": {"color": colour, "width": 1.2},
                    "pattern": {
                        "shape": "/" if group.anomalous else "", "fgcolor": colour, "size": 7,
                        "solidity": 0.2, "fillmode": "replace", "bgcolor": tinted(colour, 0.2),
                    },
                },
                hovertemplate="%{x:.3g}: %{y:.1%}" if data.shares else "%{x:.3g}: %{y}",
            ),
            **where,
        )  # fmt: skip
    if data.threshold is not None:
        figure.add_vline(
            x=data.threshold, line={"color": style.INK, "width": 1.6, "dash": "6px,4px"}, **where
        )
        if legend:
            figure.add_trace(
                go.Scatter(
                    x=[None], y=[None], mode="lines", legendgroup="threshold",
                    name=f"threshold {data.threshold:.3g}" if not where else "threshold",
                    line={"color": style.INK, "width": 1.6, "dash": "6px,4px"},
                ),
                **where,
            )  # fmt: skip
    if data.shares:
        figure.update_yaxes(tickformat=".0%", **where)
