"""The score of the Numenta Anomaly Benchmark: early detections count, false alarms cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insphere.errors import DataError
from insphere.scoring.range_auc import stretches


@dataclass(frozen=True)
class Profile:
    """What a user cares about.

    Parameters
    ----------
    hit, false_alarm, miss : float
        A_TP, A_FP and A_FN of the paper.
    """

    hit: float
    false_alarm: float
    miss: float


PROFILES = {
    "standard": Profile(1.0, 0.11, 1.0),
    "low FP": Profile(1.0, 0.22, 1.0),
    "low FN": Profile(1.0, 0.11, 2.0),
}
"""The application profiles of the benchmark."""


def nab_raw(truth: ArrayLike, flagged: ArrayLike, profile: Profile) -> float:
    """Return the raw score of the alarms on one series.

    The first alarm in an anomalous stretch gives A_TP · σ(y) / σ(−1), where
    σ(y) = 2/(1 + exp(5y)) − 1 and y runs from −1 at the first point of the stretch to 0 behind its
    last. A stretch without an alarm costs A_FN. An alarm elsewhere costs A_FP · |σ(y)|, y being its
    distance behind the last stretch in lengths of that stretch; before the first, A_FP.

    Parameters
    ----------
    truth : array-like of int, shape (n,)
        1 is anomalous.
    flagged : array-like of bool, shape (n,)
        Where the detector raises an alarm.
    profile : Profile
        The weights.

    Raises
    ------
    DataError
        If lengths differ.

    Notes
    -----
    Lavin and Ahmad 2015, "Evaluating real-time anomaly detection algorithms: the Numenta Anomaly
    Benchmark", section III.

    Examples
    --------
    >>> nab_raw([0, 1, 1, 0], [0, 1, 0, 0], PROFILES["standard"])
    1.0
    >>> nab_raw([0, 1, 1, 0], [0, 0, 0, 0], PROFILES["low FN"])
    -2.0
    """
    y, alarms = np.asarray(truth, dtype=np.int64), np.asarray(flagged, dtype=bool)
    if y.shape != alarms.shape or y.ndim != 1:
        raise DataError(f"There are {y.shape} labels for {alarms.shape} alarms.")
    spans = stretches(y > 0)
    total = 0.0
    for start, end in spans:
        hits = np.flatnonzero(alarms[start:end])
        if len(hits):
            place = float(hits[0]) / (end - start) - 1
            total += profile.hit * float(_sigmoid(place) / _sigmoid(-1.0))
        else:
            total -= profile.miss
    return total + profile.false_alarm * float(_outside(y, spans)[alarms & (y == 0)].sum())


def nab_scale(truth: ArrayLike, profile: Profile) -> tuple[float, float]:
    """Return the raw scores of a detector without alarms, and of one that finds all at once."""
    n = len(stretches(np.asarray(truth) > 0))
    return -profile.miss * n, profile.hit * n


def nab_score(raw: float, nothing: float, perfect: float) -> float:
    """Return the score of raw sums over series: 0 without alarms, 100 for a perfect detector."""
    return 100 * (raw - nothing) / (perfect - nothing)


def _outside(y: NDArray[np.int64], spans: list[tuple[int, int]]) -> NDArray[np.float64]:
    """Return what an alarm at each point costs, without its weight."""
    cost = np.full(len(y), -1.0)
    for start, end in spans:
        behind = np.arange(1, len(y) - end + 1) / (end - start)
        cost[end:] = _sigmoid(behind)
    return cost


def _sigmoid(place: float | NDArray[np.float64]) -> NDArray[np.float64]:
    grown = np.exp(np.minimum(5 * np.asarray(place, dtype=np.float64), 700))
    found: NDArray[np.float64] = 2 / (1 + grown) - 1
    return found
