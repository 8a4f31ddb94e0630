"""Thresholds on the anomaly score, found from normal images alone.

An image is called anomalous when its score lies strictly above the threshold. Shares are read as
the decimal numbers that were written (0.1 is one tenth, not the nearest binary fraction), so that
counts come out exact.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta

from insphere.errors import DataError, SpecError


def contamination_threshold(scores: ArrayLike, contamination: float) -> float:
    """Return the threshold above which at most a share `contamination` of `scores` lies.

    With k = ⌊contamination · n⌋ the threshold lies half-way between the k-th and the (k+1)-th
    largest score (on the largest if k = 0), so that exactly k scores lie above it unless there are
    ties. With an interpolated percentile up to one score more could lie above.

    Parameters
    ----------
    scores : array-like of shape (n,)
        Anomaly scores of the training normals; higher is more anomalous.
    contamination : float
        Share of the training images that may lie outside, in [0, 0.5].

    Returns
    -------
    float
        Threshold on the scale of the scores.

    Raises
    ------
    SpecError
        If `contamination` is not in [0, 0.5].
    DataError
        If there are no scores, or some are NaN or infinite.

    Examples
    --------
    >>> contamination_threshold([1.0, 2.0, 3.0, 4.0], 0.25)
    3.5
    """
    check_contamination(contamination)
    ordered = np.sort(_finite_scores(scores))
    above = math.floor(_decimal(contamination) * len(ordered))
    if above == 0:
        return float(ordered[-1])
    inside, outside = ordered[-above - 1], ordered[-above]
    return float(inside + (outside - inside) / 2)


def check_contamination(contamination: float) -> None:
    """Raise SpecError unless `contamination` is a number in [0, 0.5]."""
    if not _is_real(contamination) or not 0.0 <= contamination <= 0.5:
        raise SpecError(f"contamination is a share from 0 to 0.5, but got {contamination!r}.")


def conformal_calibration_size(alpha: float) -> int:
    """Return how many calibration scores a false-alarm rate `alpha` needs: ⌈1/α⌉ − 1.

    Raises
    ------
    SpecError
        If `alpha` is not in (0, 1).
    """
    if not _is_real(alpha) or not 0.0 < alpha < 1.0:
        raise SpecError(f"A false-alarm rate lies between 0 and 1, but got {alpha!r}.")
    return math.ceil(1 / _decimal(alpha)) - 1


def conformal_threshold(calibration_scores: ArrayLike, alpha: float) -> float:
    """Return the threshold that a new normal image exceeds with probability at most `alpha`.

    It is the ⌈(n + 1)(1 − α)⌉-th smallest of n held-out scores. The guarantee needs only that the
    new image and the held-out ones are exchangeable, whatever the detector; it holds on average
    over the draw of the held-out images (Vovk et al., Algorithmic Learning in a Random World,
    2005; Laxhammar and Falkman, 2010, for anomaly detection).

    Parameters
    ----------
    calibration_scores : array-like of shape (n,)
        Anomaly scores of normal images that the detector was not trained on.
    alpha : float
        False-alarm rate to keep, in (0, 1).

    Returns
    -------
    float
        Threshold on the scale of the scores.

    Raises
    ------
    SpecError
        If `alpha` is not in (0, 1), or is finer than n calibration scores can promise.
    DataError
        If there are no scores, or some are NaN or infinite.

    Examples
    --------
    >>> conformal_threshold(range(1, 20), 0.1)
    18.0
    """
    ordered = np.sort(_finite_scores(calibration_scores))
    return float(ordered[_rank(len(ordered), alpha) - 1])


def false_alarm_interval(n: int, alpha: float, confidence: float = 0.9) -> tuple[float, float]:
    """Return the interval of the false-alarm rate of one calibrated detector, without ties.

    The guarantee of `conformal_threshold` holds on average over calibration sets. For one set the
    rate is a draw from a Beta distribution (Vovk 2012, "Conditional validity of inductive
    conformal predictors"), whatever the detector; this is its central interval.

    Parameters
    ----------
    n : int
        Number of calibration scores.
    alpha : float
        False-alarm rate that the threshold was made for.
    confidence : float, default=0.9
        Chance of lying in the interval, in (0, 1).

    Raises
    ------
    SpecError
        As in `conformal_threshold`.

    Examples
    --------
    >>> low, high = false_alarm_interval(99, 0.05)
    >>> round(low, 3), round(high, 3)
    (0.02, 0.09)
    """
    rank = _rank(n, alpha)
    low, high = beta.ppf(((1 - confidence) / 2, (1 + confidence) / 2), n + 1 - rank, rank)
    return float(low), float(high)


def _rank(n: int, alpha: float) -> int:
    """Return which of n ascending calibration scores is the threshold, counted from 1."""
    needed = conformal_calibration_size(alpha)
    if n < needed:
        raise SpecError(
            f"A false-alarm rate of {alpha:g} needs at least {needed} calibration images, but "
            f"there are {n}: hold out more images or ask for a higher rate."
        )
    return math.ceil((n + 1) * (1 - _decimal(alpha)))


def _decimal(share: float) -> Fraction:
    return Fraction(str(float(share)))


def _is_real(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _finite_scores(scores: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(scores, dtype=np.float64).ravel()
    if len(array) == 0:
        raise DataError("A threshold needs the scores of at least one normal image.")
    if not np.isfinite(array).all():
        raise DataError("A threshold needs finite scores, but some are NaN or infinite.")
    return array
