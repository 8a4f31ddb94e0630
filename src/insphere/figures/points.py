"""The points of ROC and precision–recall curves, as they are drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn import metrics

from insphere.explain.score_checks import as_scores, as_truth

MOST_POINTS = 300  # more would be finer than the line is wide


@dataclass(frozen=True, eq=False)
class Curve:
    """A curve, reduced to the points that can be seen.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Its points, shares 0…1.
    area : float
        Area under the whole curve: AUC, or average precision.
    chance : float
        That area for scores that know nothing.
    working : tuple of float or None
        Point of the threshold, if there is one.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    area: float
    chance: float
    working: tuple[float, float] | None = None


def roc(scores: ArrayLike, truth: ArrayLike, threshold: float | None = None) -> Curve | None:
    """Return the share of anomalies caught (y) against that of false alarms (x).

    Parameters
    ----------
    scores : array-like of float, shape (N,)
        Anomaly scores, higher is more anomalous.
    truth : array-like of int or bool, shape (N,)
        0 for normal, 1 for anomalous.
    threshold : float, optional
        Scores above it are called anomalous.

    Returns
    -------
    Curve or None
        None if all images are of one kind.

    Raises
    ------
    DataError
        If the scores are not finite, or the truth does not fit them.
    """
    values, anomalous = _checked(scores, truth)
    if anomalous.all() or not anomalous.any():
        return None
    false_alarms, caught, _ = metrics.roc_curve(anomalous, values)
    working = None
    if threshold is not None:
        flagged = values > threshold
        working = float(flagged[~anomalous].mean()), float(flagged[anomalous].mean())
    area = float(metrics.roc_auc_score(anomalous, values))
    return Curve(*_thinned(false_alarms, caught), area, 0.5, working)


def precision_recall(
    scores: ArrayLike, truth: ArrayLike, threshold: float | None = None
) -> Curve | None:
    """Return the share of the flagged that are anomalous (y) against that of anomalies caught (x).

    The curve is to be drawn as steps that are level before each point: the area under them is the
    average precision, Σ (Rₙ − Rₙ₋₁) Pₙ.

    Parameters
    ----------
    scores, truth, threshold
        As for `roc`. A threshold above all scores has no precision and is not marked.
    """
    values, anomalous = _checked(scores, truth)
    if anomalous.all() or not anomalous.any():
        return None
    precision, recall, _ = metrics.precision_recall_curve(anomalous, values, drop_intermediate=True)
    working = None
    if threshold is not None and (values > threshold).any():
        flagged = values > threshold
        working = float(flagged[anomalous].mean()), float(anomalous[flagged].mean())
    area = float(metrics.average_precision_score(anomalous, values))
    return Curve(*_thinned(recall[::-1], precision[::-1]), area, float(anomalous.mean()), working)


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
