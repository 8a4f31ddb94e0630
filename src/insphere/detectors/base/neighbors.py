"""Distances to the nearest vectors, for detectors on pixels and on features."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from insphere.detectors.base.checks import require, require_count

Floats = NDArray[np.float64]


def check_neighbors(n_neighbors: Any, n: int) -> None:
    """Raise SpecError unless there are enough training vectors for `n_neighbors`."""
    require_count("n_neighbors", n_neighbors, 1)
    require(
        n > n_neighbors,
        f"n_neighbors={n_neighbors} needs more than {n_neighbors} training samples, "
        f"but there are {n}.",
    )


def mean_distance(training: Floats, F: Floats | None, n_neighbors: int) -> Floats:
    """Return the mean Euclidean distance to the nearest training vectors.

    Parameters
    ----------
    training : ndarray, shape (n, d)
        Training vectors.
    F : ndarray, shape (m, d), or None
        Vectors to score; None scores the training vectors, each without itself.
    n_neighbors : int
        Number of nearest vectors over which distances are averaged.

    Returns
    -------
    ndarray of float64, shape (m,) or (n,)
    """
    search = NearestNeighbors(n_neighbors=n_neighbors, algorithm="brute")
    distances: Floats = search.fit(training).kneighbors(F)[0]
    mean: Floats = distances.mean(axis=1)
    return mean
