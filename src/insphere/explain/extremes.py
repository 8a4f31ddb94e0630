"""Which images to look at first: the most normal, the most anomalous and the worst mistakes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insphere.errors import SpecError
from insphere.explain.score_checks import as_scores, as_truth


@dataclass(frozen=True, eq=False)
class Extremes:
    """Indices of the images to look at first, the most extreme first.

    Parameters
    ----------
    most_normal : ndarray of int64, shape (≤ k,)
        Lowest scores, the lowest first.
    most_anomalous : ndarray of int64, shape (≤ k,)
        Highest scores, the highest first.
    most_anomalous_normals : ndarray of int64, shape (≤ k,), or None
        Truly normal images with the highest scores: the false alarms that come first at any
        threshold. None when the truth is unknown.
    most_normal_anomalies : ndarray of int64, shape (≤ k,), or None
        Truly anomalous images with the lowest scores: the misses that come last at any threshold.
        None when the truth is unknown.
    """

    most_normal: NDArray[np.int64]
    most_anomalous: NDArray[np.int64]
    most_anomalous_normals: NDArray[np.int64] | None = None
    most_normal_anomalies: NDArray[np.int64] | None = None


def extremes(scores: ArrayLike, k: int, truth: ArrayLike | None = None) -> Extremes:
    """Find the images at both ends of the scores.

    Images with equal scores keep their order, so the same scores give the same images.

    Parameters
    ----------
    scores : array-like of float, shape (N,)
        Anomaly scores, higher is more anomalous.
    k : int
        At most how many images of each kind, at least 1.
    truth : array-like of int or bool, shape (N,), optional
        0 for normal, 1 for anomalous.

    Raises
    ------
    DataError
        If the scores are not finite numbers, or the truth does not fit them.
    SpecError
        If `k` is less than 1.

    Examples
    --------
    >>> found = extremes([0.1, 0.9, 0.4, 0.6], k=2, truth=[0, 1, 1, 0])
    >>> found.most_normal.tolist(), found.most_anomalous.tolist()
    ([0, 2], [1, 3])
    >>> found.most_anomalous_normals.tolist(), found.most_normal_anomalies.tolist()
    ([3, 0], [2, 1])
    """
    values = as_scores(scores)
    if k < 1:
        raise SpecError(f"k says how many images to show and must be at least 1, but is {k}.")
    upwards = np.argsort(values, kind="stable").astype(np.int64)
    downwards = np.argsort(-values, kind="stable").astype(np.int64)
    if truth is None:
        return Extremes(upwards[:k], downwards[:k])
    anomalous = as_truth(truth, len(values))
    return Extremes(
        most_normal=upwards[:k],
        most_anomalous=downwards[:k],
        most_anomalous_normals=downwards[~anomalous[downwards]][:k],
        most_normal_anomalies=upwards[anomalous[upwards]][:k],
    )
