"""ROC and precision–recall curves with the working point of the threshold."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from sklearn import metrics

from insphere.explain.inputs import as_scores, as_truth
from insphere.figures import style

MOST_POINTS = 300  # more would be finer than the line is wide
ONE_KIND = "This curve needs both\nnormal and anomalous images."


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
    values, anomalous = _checked(scores, truth)
    figure, (ax,) = style.new_figure()
    if anomalous.all() or not anomalous.any():
        style.empty(ax, ONE_KIND)
    else:
        false_alarms, caught, _ = metrics.roc_curve(anomalous, values)
        area = float(metrics.roc_auc_score(anomalous, values))
        false_alarms, caught = _thinned(false_alarms, caught)
        ax.fill_between(false_alarms, caught, color=style.NORMAL, alpha=0.08, linewidth=0)
        ax.plot(
            false_alarms, caught, color=style.NORMAL, linewidth=2, label=f"AUC {100 * area:.2f} %"
        )
        ax.plot([0, 1], [0, 1], color=style.MUTED, linewidth=1, linestyle=":", label="chance")
        if threshold is not None:
            flagged = values > threshold
            _working_point(ax, flagged[~anomalous].mean(), flagged[anomalous].mean())
        style.legend(ax)
    _frame(ax, "normal images flagged (false alarms)", "anomalous images caught")
    return figure


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
    values, anomalous = _checked(scores, truth)
    figure, (ax,) = style.new_figure()
    if anomalous.all() or not anomalous.any():
        style.empty(ax, ONE_KIND)
    else:
        precision, recall, _ = metrics.precision_recall_curve(
            anomalous, values, drop_intermediate=True
        )
        area = float(metrics.average_precision_score(anomalous, values))
        recall, precision = _thinned(recall[::-1], precision[::-1])
        ax.fill_between(recall, precision, step="pre", color=style.NORMAL, alpha=0.08, linewidth=0)
        ax.plot(
            recall,
            precision,
            drawstyle="steps-pre",
            color=style.NORMAL,
            linewidth=2,
            label=f"AP {100 * area:.2f} %",
        )
        ax.axhline(anomalous.mean(), color=style.MUTED, linewidth=1, linestyle=":", label="chance")
        if threshold is not None and (values > threshold).any():
            flagged = values > threshold
            _working_point(ax, flagged[anomalous].mean(), anomalous[flagged].mean())
        style.legend(ax)
    _frame(ax, "anomalous images caught (recall)", "flagged that are anomalous (precision)")
    return figure


def _checked(scores: ArrayLike, truth: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    values = as_scores(scores)
    return values, as_truth(truth, len(values))


def _thinned(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if len(x) <= MOST_POINTS:
        return x, y
    kept = np.linspace(0, len(x) - 1, MOST_POINTS).round().astype(np.int64)
    return x[kept], y[kept]


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
