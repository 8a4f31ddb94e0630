"""z-scores: scores in standard deviations above the mean of normal images."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insphere.errors import DataError


def score_scale(reference_scores: ArrayLike) -> tuple[float, float]:
    """Return mean and standard deviation of the scores of reference normals.

    Take held-out (calibration) normals if there are any: training images score a little lower
    than new ones.

    Parameters
    ----------
    reference_scores : array-like of shape (n,)
        Anomaly scores of normal images; never of the test set.

    Returns
    -------
    mean, std : float
        The standard deviation divides by n. If the scores do not vary beyond rounding, std is 1,
        so that a z-score is then the plain difference to the mean.

    Raises
    ------
    DataError
        If there are no scores, or some are NaN or infinite.
    """
    scores = np.asarray(reference_scores, dtype=np.float64).ravel()
    if len(scores) == 0 or not np.isfinite(scores).all():
        raise DataError("Standardising needs at least one score, and finite scores only.")
    mean, std = float(scores.mean()), float(scores.std())
    rounding = 8 * np.finfo(np.float64).eps * float(np.abs(scores).max())
    return mean, std if std > rounding else 1.0


def z_scores(scores: ArrayLike, mean: float, std: float) -> NDArray[np.float64]:
    """Return ``(scores - mean) / std``, with the scale of `score_scale`.

    Parameters
    ----------
    scores : array-like of shape (n,)
        Anomaly scores.
    mean, std : float
        Scale of the reference normals; `std` is positive.

    Returns
    -------
    ndarray of float64, shape (n,)
        3 means: three standard deviations more anomalous than the average normal image.
    """
    return (np.asarray(scores, dtype=np.float64) - mean) / std


def display_z_scores(test_scores: ArrayLike) -> NDArray[np.float64]:
    """Standardise scores over the test set that they belong to. For display only.

    The transformation is increasing, so it keeps the order of the scores and cannot change an
    AUC or an average precision. It looks at the test data, anomalies included: the value of an
    image depends on which other images are scored with it. Do not base a decision on it. For
    z-scores with a fixed meaning use `score_scale` on training or calibration normals.

    Parameters
    ----------
    test_scores : array-like of shape (n,)
        Anomaly scores of the whole test set.

    Returns
    -------
    ndarray of float64, shape (n,)
        Scores with mean 0 and standard deviation 1 (all 0 if they do not vary).
    """
    return z_scores(test_scores, *score_scale(test_scores))
