"""Scores, ROC and precision–recall curves, and training for the screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from insphere.errors import DataError
from insphere.figures import style
from insphere.figures.bins import Histogram, histogram
from insphere.figures.curves import ONE_KIND, PR_AXES, ROC_AXES
from insphere.figures.epochs import LOSS_AXIS, epoch_lines, is_wide, log_ticks
from insphere.figures.history import Rows
from insphere.figures.interactive.style import axes, go, line, new_figure, plain, tinted
from insphere.figures.points import Curve, precision_recall, roc


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


def roc_curve(
    scores: ArrayLike, truth: ArrayLike, threshold: float | None = None, title: str = ""
) -> Any:
    """Show the share of anomalies caught against the share of false alarms.

    The parameters are those of `insphere.figures.roc_curve`.
    """
    return _one(roc(scores, truth, threshold), "AUC", ROC_AXES, title)


def precision_recall_curve(
    scores: ArrayLike, truth: ArrayLike, threshold: float | None = None, title: str = ""
) -> Any:
    """Show how many of the flagged are anomalous against how many anomalies are caught.

    The parameters are those of `insphere.figures.precision_recall_curve`.
    """
    return _one(precision_recall(scores, truth, threshold), "AP", PR_AXES, title)


def roc_curves(curves: Mapping[str, Curve], title: str = "") -> Any:
    """Show several ROC curves; the parameters are those of `insphere.figures.curves.roc_curves`."""
    return _several(curves, "AUC", ROC_AXES, title)


def precision_recall_curves(curves: Mapping[str, Curve], title: str = "") -> Any:
    """Show several precision–recall curves.

    The parameters are those of `insphere.figures.curves.precision_recall_curves`.
    """
    return _several(curves, "AP", PR_AXES, title)


def training_lines(histories: Mapping[str, Rows], title: str = "") -> Any:
    """Show loss and, where it was measured, AUC while training, a line for each run.

    The parameters are those of `insphere.figures.epochs.training_lines`.
    """
    found = epoch_lines(histories)
    if not found:
        raise DataError("There is no training whose loss could be drawn.")
    names = list(histories)
    many: dict[str, Any] = {"shared_xaxes": True, "vertical_spacing": 0.06}
    figure = new_figure(title, rows=len(found), **(many if len(found) > 1 else {}))
    for row, (axis, lines) in enumerate(found.items(), start=1):
        where = {"row": row, "col": 1} if len(found) > 1 else {}
        for one in lines:
            figure.add_trace(
                go.Scatter(
                    x=one.epochs, y=one.values, mode="lines", name=plain(one.name),
                    legendgroup=one.name, showlegend=row == 1,
                    line=line(style.look(names.index(one.name))),
                    hovertemplate="epoch %{x}: %{y:.4g}",
                ),
                **where,
            )  # fmt: skip
        if axis == LOSS_AXIS and is_wide(lines):
            ticks = log_ticks(lines)
            texts = [f"{tick:g}" for tick in ticks]
            figure.update_yaxes(type="log", tickvals=ticks, ticktext=texts, **where)
        axes(figure, x="epoch" if row == len(found) else "", y=axis, **where)
    figure.update_layout(height=140 + 280 * len(found))
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


def _one(curve: Curve | None, area: str, names: tuple[str, str], title: str) -> Any:
    figure = _frame(names, title)
    if curve is None:
        figure.add_annotation(
            text=plain(ONE_KIND), x=0.5, y=0.5, showarrow=False, font={"size": 14}
        )
        return figure
    _chance(figure, curve.chance, area)
    figure.add_trace(
        go.Scatter(
            x=curve.x, y=curve.y, mode="lines", name=f"{area} {100 * curve.area:.2f} %",
            line={"color": style.NORMAL, "width": 2.5, "shape": _shape(area)},
            fill="tozeroy", fillcolor=tinted(style.NORMAL, 0.08), hovertemplate=_HOVER[area],
        )
    )  # fmt: skip
    if curve.working is not None:
        figure.add_trace(
            go.Scatter(
                x=[curve.working[0]], y=[curve.working[1]], mode="markers", name="at the threshold",
                marker={
                    "symbol": "diamond", "size": 13, "color": style.ANOMALOUS,
                    "line": {"color": style.PAPER, "width": 1.5},
                },
                hovertemplate=_HOVER[area],
            )
        )  # fmt: skip
    return figure


def _several(curves: Mapping[str, Curve], area: str, names: tuple[str, str], title: str) -> Any:
    if not curves:
        raise DataError("There is no curve to draw: it takes normal and anomalous images.")
    figure = _frame(names, title)
    _chance(figure, float(np.mean([curve.chance for curve in curves.values()])), area)
    for place, (name, curve) in enumerate(curves.items()):
        figure.add_trace(
            go.Scatter(
                x=curve.x, y=curve.y, mode="lines", name=plain(f"{name}: {100 * curve.area:.1f}"),
                line={**line(style.look(place)), "shape": _shape(area)}, hovertemplate=_HOVER[area],
            )
        )  # fmt: skip
    figure.update_layout(legend={"title": {"text": f"{area} in %"}})
    return figure


def _frame(names: tuple[str, str], title: str) -> Any:
    figure = new_figure(title)
    figure.update_xaxes(tickformat=".0%", range=[-0.012, 1.012])
    figure.update_yaxes(tickformat=".0%", range=[0, 1.02])
    axes(figure, x=names[0], y=names[1])
    figure.update_layout(height=520)
    return figure


def _chance(figure: Any, chance: float, area: str) -> None:
    figure.add_trace(
        go.Scatter(
            x=[0, 1], y=[0, 1] if area == "AUC" else [chance, chance], mode="lines", name="chance",
            line={"color": style.MUTED, "width": 1.2, "dash": "dot"}, hoverinfo="skip",
        )
    )  # fmt: skip


def _shape(area: str) -> str:
    return "linear" if area == "AUC" else "vh"  # level before each point


_HOVER = {
    "AUC": "%{x:.1%} false alarms, %{y:.1%} caught",
    "AP": "%{x:.1%} caught, %{y:.1%} of the flagged are anomalous",
}
