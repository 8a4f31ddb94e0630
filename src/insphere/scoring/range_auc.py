"""Volume under the surface of precision and recall, for points of a series."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insphere.errors import DataError

THRESHOLDS = 250
BUFFERS = 11


def vus_pr(truth: ArrayLike, scores: ArrayLike, buffer: int) -> float:
    """Return VUS-PR, the mean range-based average precision over lengths of a buffer.

    Around each anomalous stretch, the label falls to 0 within half of the buffer as √(1 − d/ℓ), d
    being the distance in points and ℓ the buffer. Recall counts with these labels, times the share
    of stretches in which at least one point is found. There is no point adjustment.

    Parameters
    ----------
    truth : array-like of int, shape (n,)
        1 is anomalous.
    scores : array-like of float, shape (n,)
        Higher is more anomalous.
    buffer : int
        Longest buffer in points, such as the period of the series.

    Notes
    -----
    Paparrizos et al. 2022, "Volume under the surface: a new accuracy evaluation measure for
    time-series anomaly detection". Eleven lengths of the buffer and 250 thresholds are taken.

    Raises
    ------
    DataError
        If nothing is anomalous, or lengths differ.

    Examples
    --------
    >>> vus_pr([0, 0, 1, 1, 0, 0], [0, 0, 1, 1, 0, 0], buffer=0)
    1.0
    """
    y, s = np.asarray(truth, dtype=np.int64), np.asarray(scores, dtype=np.float64)
    if y.shape != s.shape or y.ndim != 1:
        raise DataError(f"There are {y.shape} labels for {s.shape} scores.")
    if not y.any():
        raise DataError("No point is anomalous, so there is no precision.")
    order = np.argsort(-s, kind="stable")
    falling = -s[order]
    last = np.linspace(0, len(y) - 1, THRESHOLDS).astype(np.int64)
    last = np.unique(np.searchsorted(falling, falling[last], side="right") - 1)  # ties count whole
    lengths = np.unique(np.linspace(0, buffer, BUFFERS).astype(np.int64))
    return float(np.mean([_average_precision(y, s, order, last, int(ell)) for ell in lengths]))


def _average_precision(
    y: NDArray[np.int64],
    s: NDArray[np.float64],
    order: NDArray[np.int64],
    last: NDArray[np.int64],
    length: int,
) -> float:
    soft = softened(y, length)
    found = np.array([s[start:end].max() for start, end in stretches(soft > 0)])
    thresholds = s[order][last]
    hits = np.cumsum(soft[order])[last]
    existence = (found[None] >= thresholds[:, None]).mean(axis=1)
    recall = np.minimum(hits / ((y.sum() + soft.sum()) / 2), 1.0) * existence
    precision = hits / (last + 1)
    return float(np.sum(np.diff(np.concatenate([[0.0], recall])) * precision))


def softened(y: NDArray[np.int64], length: int) -> NDArray[np.float64]:
    """Return labels that fall to 0 within half of `length` points of each anomalous stretch."""
    soft = y.astype(np.float64)
    for start, end in stretches(y > 0):
        for d in range(1, length // 2 + 1):
            value = np.sqrt(1 - d / length)
            for place in (start - d, end - 1 + d):
                if 0 <= place < len(y):
                    soft[place] = max(soft[place], value)
    return soft


def stretches(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return first place, and the one after the last, of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
