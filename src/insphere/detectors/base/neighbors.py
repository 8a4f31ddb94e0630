"""Distances to the nearest vectors, for detectors on pixels and on features."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from insphere.detectors.base.checks import require, require_count
from insphere.errors import require as require_module

Floats = NDArray[np.float64]

SEARCHES = ("rows", "faiss")
CELL_ROWS = 256  # training rows from which each cell's centre is found
LOOKED_AT = 16  # one of so many cells is searched, the nearest ones
LEAST_LOOKED_AT, MOST_LOOKED_AT = 8, 32
AT_ONCE = 4096


def check_neighbors(n_neighbors: Any, n: int) -> None:
    """Raise SpecError unless there are enough training vectors for `n_neighbors`."""
    require_count("n_neighbors", n_neighbors, 1)
    require(
        n > n_neighbors,
        f"n_neighbors={n_neighbors} needs more than {n_neighbors} training samples, "
        f"but there are {n}.",
    )


def check_search(search: Any) -> None:
    """Raise SpecError unless a way to search is known, MissingExtraError without its package."""
    require(search in SEARCHES, f'search is "rows" or "faiss", but got {search!r}.')
    if search == "faiss":
        require_module("faiss", "faiss", "search='faiss'")


def mean_distance(training: Floats, F: Floats | None, n_neighbors: int) -> Floats:
    """Return the mean Euclidean distance to the nearest training vectors.

    A search computes distances from products, x·x − 2 x·y + y·y. Where x and y are nearly equal,
    nothing but rounding is left, and it changes with the processor and with the vectors beside x.
    The distances of the neighbours that were found are therefore computed from differences.

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
    index = search.fit(training).kneighbors(F, return_distance=False)
    mean: Floats = distances_of_pairs(training if F is None else F, training, index).mean(axis=1)
    return mean


def distances_of_pairs(F: Floats, training: Floats, index: NDArray[np.intp]) -> Floats:
    """Return the distances of vectors to some training vectors each, from their differences.

    Parameters
    ----------
    F : ndarray, shape (m, d)
        Vectors.
    training : ndarray, shape (n, d)
        Training vectors.
    index : ndarray, shape (m, k)
        Places of the training vectors that each is compared with.

    Returns
    -------
    ndarray of float64, shape (m, k)
    """
    away: Floats = np.empty(index.shape)
    for start in range(0, len(F), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        for column in range(index.shape[1]):  # not all differences at once
            difference = F[part] - training[index[part, column]]
            away[part, column] = np.sqrt(np.einsum("ij,ij->i", difference, difference))
    return away


class Cells:
    """Training vectors in cells around centres, of which the nearest few are searched.

    FAISS finds the neighbours (Johnson, Douze, Jégou 2019, "Billion-scale similarity search with
    GPUs", an inverted file). Their distances are then computed in float64, so that a score is the
    exact one wherever the right neighbours were found.

    Parameters
    ----------
    training : ndarray of float64, shape (n, d)
        Training vectors.
    centers : ndarray of float32, shape (c, d)
        As `cell_centers` found them.

    Raises
    ------
    MissingExtraError
        If FAISS is not installed.
    """

    def __init__(self, training: Floats, centers: NDArray[np.float32]) -> None:
        faiss: Any = require_module("faiss", "faiss", "A model with search='faiss'")
        self.training, count = training, len(centers)
        self._coarse = faiss.IndexFlatL2(training.shape[1])  # the index does not own it
        self._coarse.add(np.ascontiguousarray(centers, np.float32))
        self._index = faiss.IndexIVFFlat(self._coarse, training.shape[1], count)
        probes = min(MOST_LOOKED_AT, max(LEAST_LOOKED_AT, math.ceil(count / LOOKED_AT)))
        self._index.nprobe = min(count, probes)
        for start in range(0, len(training), AT_ONCE):
            self._index.add(np.ascontiguousarray(training[start : start + AT_ONCE], np.float32))

    def mean_distance(self, F: Floats | None, n_neighbors: int) -> Floats:
        """Return what the function `mean_distance` does, with the neighbours that were found."""
        rows = self.training if F is None else F
        parts = []
        for start in range(0, len(rows), AT_ONCE):
            part = rows[start : start + AT_ONCE]
            own = None if F is not None else np.arange(start, start + len(part))
            parts.append(self._distances(part, own, n_neighbors).mean(axis=1))
        return np.concatenate(parts) if parts else np.empty(0)

    def _distances(self, F: Floats, own: NDArray[np.intp] | None, wanted: int) -> Floats:
        more = wanted + (own is not None)
        index = self._index.search(np.ascontiguousarray(F, np.float32), more)[1]
        away = distances_of_pairs(F, self.training, index)
        away[index < 0] = np.inf  # fewer vectors in the cells
        if own is not None:
            away[index == own[:, None]] = np.inf
        away.sort(axis=1)
        nearest = away[:, :wanted]
        few = ~np.isfinite(nearest).all(axis=1)
        if few.any():  # among all vectors then
            search = NearestNeighbors(n_neighbors=more, algorithm="brute").fit(self.training)
            all_away, all_index = search.kneighbors(F[few])
            if own is not None:
                all_away[all_index == own[few, None]] = np.inf
            nearest[few] = np.sort(all_away, axis=1)[:, :wanted]
        return nearest


def cell_centers(training: Floats, random_state: Any) -> NDArray[np.float32]:
    """Find the centres of cells for FAISS: k-means with as many centres as the root of n, ×4.

    Parameters
    ----------
    training : ndarray, shape (n, d)
        Training vectors.
    random_state : int or None
        Seed; None is 0.

    Returns
    -------
    ndarray of float32, shape (c, d)
    """
    faiss: Any = require_module("faiss", "faiss", "search='faiss'")
    n, d = training.shape
    count = max(1, min(n // 40, round(4 * math.sqrt(n))))
    seed = int(np.random.RandomState(random_state).randint(1 << 30)) if random_state else 0
    rows = training
    if n > count * CELL_ROWS:
        rows = training[np.random.RandomState(seed).permutation(n)[: count * CELL_ROWS]]
    means = faiss.Kmeans(
        d, count, niter=10, seed=seed, max_points_per_centroid=CELL_ROWS, min_points_per_centroid=1
    )
    means.train(np.ascontiguousarray(rows, np.float32))
    centers: NDArray[np.float32] = np.array(means.centroids, dtype=np.float32)
    return centers
