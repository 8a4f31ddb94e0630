"""Which samples to label next: near the boundary, and unlike each other.

Labels of samples that a detector is sure of change little, and labels of many alike samples say the
same. So the samples whose scores lie nearest to the threshold are taken (the margin strategy of
Görnitz, Kloft, Rieck and Brefeld 2013, "Toward Supervised Anomaly Detection"), and among them those
that are furthest from each other (the greedy k-centre of Gonzalez 1985).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insphere.errors import SpecError
from insphere.explain.score_checks import as_scores

CANDIDATES = 5  # for each sample wanted


def most_useful(
    scores: ArrayLike, threshold: float, vectors: NDArray[Any], n: int = 20
) -> NDArray[np.int64]:
    """Choose samples to label.

    Of the ``5 n`` samples nearest to the threshold in the order of the scores, the first is the
    nearest, and each further one is the sample furthest from those chosen before.

    Parameters
    ----------
    scores : array-like of float, shape (N,)
        Anomaly scores.
    threshold : float
        Where the detector's verdict changes.
    vectors : ndarray, shape (N, d)
        Features in which samples are alike or not.
    n : int
        How many; all if there are fewer.

    Returns
    -------
    ndarray of int64, shape (min(n, N),)
        In the order in which they are worth labelling.

    Raises
    ------
    SpecError
        If `n` is less than 1, or there is not one vector for each score.
    """
    values = as_scores(scores)
    if n < 1:
        raise SpecError(f"A queue holds at least one sample, but n is {n}.")
    if len(vectors) != len(values):
        raise SpecError(f"There are {len(values)} scores, but {len(vectors)} vectors.")
    rank = np.empty(len(values))
    rank[np.argsort(-values, kind="stable")] = np.arange(len(values))
    from_boundary = np.abs(rank + 0.5 - int((values > threshold).sum()))
    near = np.argsort(from_boundary, kind="stable")[: CANDIDATES * n]
    chosen = farthest_first(np.asarray(vectors, np.float64)[near], n)
    found: NDArray[np.int64] = near[chosen]
    return found


def farthest_first(vectors: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """Choose rows that are far from each other: first row 0, then always the furthest.

    Parameters
    ----------
    vectors : ndarray, shape (N, d)
        The rows.
    n : int
        How many; all if there are fewer.
    """
    n = min(n, len(vectors))
    chosen = np.zeros(n, np.int64)
    left = np.ones(len(vectors), bool)
    distance = np.full(len(vectors), np.inf)
    for place in range(n):
        row = int(np.argmax(np.where(left, distance, -1.0))) if place else 0
        chosen[place], left[row] = row, False
        np.minimum(distance, np.square(vectors - vectors[row]).sum(axis=1), out=distance)
    return chosen
