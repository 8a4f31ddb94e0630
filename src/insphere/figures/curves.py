"""ROC and precision–recall curves: of one run with its threshold, and of one run for each class."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from insphere.errors import DataError
from insphere.figures import layout, style
from insphere.figures.points import Curve, precision_recall, roc

ONE_KIND = "This curve needs both\nnormal and anomalous images."
ROC_AXES = ("normal images flagged (false alarms)", "anomalous images caught")
PR_AXES = ("anomalous images caught (recall)", "flagged that are anomalous (precision)")


def roc_curve(scores: ArrayLike, truth: ArrayLike, threshold: float | None = None) -> Figure:
    """Draw the share of anomalies caught against the share of false alarms.

    Parameters
    ----------
    scores : array-like of float, shape (N,)
        Anomaly scores, higher is more anomalous.
    truth : array-like of int or bool, shape (N,)
        0 for normal, 1 for anomalous. With only one kind, the figure says that there is no curve.
    threshold : float, optional
        Scores above it are called anomalous; its working point is marked.

    Raises
    ------
    DataError
        If the scores are not finite, or the truth does not fit them.
    """
    return _one(roc(scores, truth, threshold), "AUC", ROC_AXES)


def precision_recall_curve(
    scores: ArrayLike, truth: ArrayLike, threshold: float | None = None
) -> Figure:
    """Draw how many of the flagged images are anomalous against how many anomalies are caught.

    The area under the steps is the average precision, Σ (Rₙ − Rₙ₋₁) Pₙ. The dotted line is what
    flagging at random gives: the share of anomalous images.

    Parameters
    ----------
    scores : array-like of float, shape (N,)
        Anomaly scores, higher is more anomalous.
    truth : array-like of int or bool, shape (N,)
        0 for normal, 1 for anomalous. With only one kind, the figure says that there is no curve.
    threshold : float, optional
        Scores above it are called anomalous; its working point is marked if it flags any image.

    Raises
    ------
    DataError
        If the scores are not finite, or the truth does not fit them.
    """
    return _one(precision_recall(scores, truth, threshold), "AP", PR_AXES)


def roc_curves(curves: Mapping[str, Curve], title: str = "") -> Figure:
    """Draw several ROC curves into one plot, such as one for each normal class.

    Parameters
    ----------
    curves : mapping of str to Curve
        From `insphere.figures.points.roc`, by the name of the class.
    title : str
        Heading of the figure.
    """
    return _several(curves, "AUC", ROC_AXES, title)


def precision_recall_curves(curves: Mapping[str, Curve], title: str = "") -> Figure:
    """Draw several precision–recall curves into one plot, such as one for each normal class.

    Parameters
    ----------
    curves : mapping of str to Curve
        From `insphere.figures.points.precision_recall`, by the name of the class.
    title : str
        Heading of the figure.
    """
    return _several(curves, "AP", PR_AXES, title)


def _one(curve: Curve | None, area: str, names: tuple[str, str]) -> Figure:
    figure, (ax,) = style.new_figure()
    if curve is None:
        style.empty(ax, ONE_KIND)
    else:
        steps = area == "AP"
        ax.fill_between(
            curve.x, curve.y, step="pre" if steps else None,
            color=style.NORMAL, alpha=0.08, linewidth=0,
        )  # fmt: skip
        ax.plot(
            curve.x,
            curve.y,
            drawstyle="steps-pre" if steps else "default",
            color=style.NORMAL,
            linewidth=2,
            label=f"{area} {100 * curve.area:.2f} %",
        )
        _chance(ax, curve.chance, steps, "chance")
        if curve.working is not None:
            _working_point(ax, *curve.working)
        style.legend(ax)
    _frame(ax, *names)
    return figure


def _several(curves: Mapping[str, Curve], area: str, names: tuple[str, str], title: str) -> Figure:
    if not curves:
        raise DataError("There is no curve to draw: it takes normal and anomalous images.")
    figure, (ax,) = layout.panels(1, width=6.6, height=4.6)
    steps = area == "AP"
    for place, (name, curve) in enumerate(curves.items()):
        look = style.look(place)
        ax.plot(
            curve.x,
            curve.y,
            drawstyle="steps-pre" if steps else "default",
            color=look.colour,
            linestyle=look.line,
            linewidth=1.7,
            label=f"{name}: {100 * curve.area:.1f}",
        )
    chance = float(np.mean([curve.chance for curve in curves.values()]))
    _chance(ax, chance, steps, "chance, on average" if steps else "chance")
    layout.heading(figure, title)
    layout.side_legend(ax, f"{area} in %")
    _frame(ax, *names)
    if steps:  # no area is filled here, so the empty part below all curves need not be shown
        lowest = min(chance, *(float(curve.y[curve.x > 0.01].min()) for curve in curves.values()))
        bottom = max(0.0, float(np.floor(20 * lowest - 0.2)) / 20)
        ax.set_ylim(bottom, 1 + 0.02 * (1 - bottom))
        ticks = MaxNLocator(nbins=6, steps=[1, 2, 5, 10]).tick_values(bottom, 1.0)
        ax.set_yticks([tick for tick in ticks if bottom <= tick <= 1])
    return figure


def _chance(ax: Axes, chance: float, steps: bool, name: str) -> None:
    ends = [chance] * 2 if steps else [0.0, 1.0]
    ax.plot([0, 1], ends, color=style.MUTED, linewidth=1, linestyle=":", label=name)


def _working_point(ax: Axes, x: float, y: float) -> None:
    ax.plot(
        [x],
        [y],
        marker="D",
        markersize=7.5,
        markerfacecolor=style.ANOMALOUS,
        markeredgecolor=style.PAPER,
        markeredgewidth=1.4,
        linestyle="none",
        clip_on=False,
        zorder=5,
        label="at the threshold",
    )


def _frame(ax: Axes, x: str, y: str) -> None:
    ax.set_xlim(-0.012, 1.012)
    ax.set_ylim(0, 1.02)
    ax.set_xticks(np.linspace(0, 1, 5))
    ax.set_yticks(np.linspace(0, 1, 5))
    style.percent_axis(ax, x=True, y=True)
    style.label(ax, x=x, y=y)
