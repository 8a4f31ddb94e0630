"""ROC and precision–recall curves for the screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from insphere.errors import DataError
from insphere.figures import style
from insphere.figures.curves import ONE_KIND, PR_AXES, ROC_AXES
from insphere.figures.interactive.style import axes, go, line, new_figure, plain, tinted
from insphere.figures.points import Curve, precision_recall, roc


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
