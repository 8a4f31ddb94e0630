"""Conformal p-values: how rare a score would be among normal images, with a guarantee."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insphere.errors import DataError


def conformal_p_values(calibration_scores: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
    """Return (1 + number of calibration scores at or above the score) / (n + 1) for each score.

    For a new normal image that is exchangeable with the n held-out ones, the p-value is at most α
    with probability at most α, for every α and whatever the detector (Vovk et al., Algorithmic
    Learning in a Random World, 2005). A score lies strictly above `conformal_threshold` for α
    exactly if its p-value is at most α.

    Parameters
    ----------
    calibration_scores : array-like of shape (n,)
        Anomaly scores of normal images that the detector was not trained on.
    scores : array-like of shape (m,)
        Anomaly scores; higher is more anomalous.

    Returns
    -------
    ndarray of float64, shape (m,)
        From 1 / (n + 1) to 1; lower is more anomalous.

    Raises
    ------
    DataError
        If there are no calibration scores, or a score is NaN.

    Examples
    --------
    >>> conformal_p_values([1.0, 2.0, 3.0, 4.0], [0.0, 2.5, 4.0, 9.0]).tolist()
    [1.0, 0.6, 0.4, 0.2]
    """
    reference = np.sort(np.asarray(calibration_scores, dtype=np.float64).ravel())
    values = np.asarray(scores, dtype=np.float64)
    if len(reference) == 0:
        raise DataError("p-values need the scores of at least one held-out normal image.")
    if np.isnan(reference).any() or np.isnan(values).any():
        raise DataError("p-values need scores that are numbers, but some are NaN.")
    at_or_above = len(reference) - np.searchsorted(reference, values, side="left")
    p_values: NDArray[np.float64] = (1 + at_or_above) / (len(reference) + 1)
    return p_values
