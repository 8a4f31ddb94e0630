"""Principal components, cached for several detectors on the same features."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.detectors.base.components import fit_components
from insphere.fingerprint import array_fingerprint

LARGE = 1 << 25
"""Numbers in the features, 256 MB, above which copies of them are avoided."""
BLOCK = 1 << 14
KEPT = 2
"""Number of cached results: methods differ in whether they first normalise the contrast."""

_latest: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}
_lock = threading.Lock()


def principal_components(F: NDArray[Any], share: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return mean and principal components that keep a share of the variance.

    The last results are cached in this process by the content of `F`, because the methods of a
    sweep are fitted to the same images one after the other, and tuning fits one many times.

    Parameters
    ----------
    F : ndarray, shape (n, d)
        Features.
    share : float
        Share of the variance to keep, in (0, 1).

    Returns
    -------
    mean : ndarray, shape (d,)
        Read-only.
    components : ndarray, shape (k, d)
        Orthonormal rows, by falling variance; read-only.
    """
    return _cached(f"{share} {array_fingerprint(F)}", lambda: _fitted(F, share))


def _cached(
    key: str, fitted: Callable[[], tuple[NDArray[Any], NDArray[Any]]]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return what was fitted before under this key, or fit it."""
    with _lock:
        found = _latest.pop(key, None) or fitted()
        for array in found:
            array.setflags(write=False)
        _latest[key] = found
        while len(_latest) > KEPT:
            del _latest[next(iter(_latest))]
    return found


def components_of_blocks(
    blocks: Callable[[], Iterable[NDArray[Any]]], share: float, key: str
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Do what `principal_components` does for rows that come in blocks, and are not kept.

    Parameters
    ----------
    blocks : callable
        Yields the rows, float64, shape (n, d) each; more than d together.
    share : float
        Share of the variance to keep, in (0, 1).
    key : str
        Identifies the rows, for the cache.
    """
    return _cached(f"{share} in blocks {key}", lambda: from_blocks(blocks(), share))


def forget_components() -> None:
    """Empty the cache."""
    with _lock:
        _latest.clear()


def _fitted(F: NDArray[Any], share: float) -> tuple[NDArray[Any], NDArray[Any]]:
    if F.size > LARGE and F.shape[1] > len(F):
        return from_products(F, share)
    return fit_components(F, share)


def from_products(F: NDArray[Any], share: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Find the components of few long rows, without a copy of the rows.

    The eigenvectors of the products of the centred rows with each other, n×n, weigh the rows to
    components (Turk and Pentland 1991, "Eigenfaces for recognition"). Beside `F` and the result,
    memory is needed for a block of columns alone.

    Parameters
    ----------
    F : ndarray of float64, shape (n, d)
        Features, n < d.
    share : float
        Share of the variance to keep, in (0, 1).

    Returns
    -------
    mean : ndarray, shape (d,)
    components : ndarray, shape (k, d)
        With the signs that scikit-learn gives them: the largest coordinate is positive.
    """
    n, d = F.shape
    mean = F.mean(axis=0)
    blocks = [slice(start, start + BLOCK) for start in range(0, d, BLOCK)]
    products = np.zeros((n, n))
    for block in blocks:
        centred = F[:, block] - mean[block]
        products += centred @ centred.T
    variances, weights = _by_falling_variance(products)
    kept = _needed(variances, share)
    kept = min(kept, int((variances > n * np.finfo(np.float64).eps * variances[0]).sum()))
    scaled = weights[:, :kept].T / np.sqrt(variances[:kept, None])
    components = np.empty((kept, d))
    for block in blocks:
        components[:, block] = scaled @ (F[:, block] - mean[block])
    return mean, _signed(components)


def from_blocks(blocks: Iterable[NDArray[Any]], share: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Find the components of many rows from their covariance, a block of rows after the other.

    The sums of a block are added to those before as in Chan, Golub and LeVeque (1983), "Algorithms
    for computing the sample variance", so that nothing cancels.

    Parameters
    ----------
    blocks : iterable of ndarray of float64, shape (n, d)
        The rows, at least two together.
    share : float
        Share of the variance to keep, in (0, 1).

    Returns
    -------
    mean, components
        As in `from_products`.
    """
    count, mean, products = 0, np.zeros(()), np.zeros(())
    for rows in blocks:
        own = rows.mean(axis=0)
        centred = rows - own
        products = products + centred.T @ centred
        apart, part = own - mean, len(rows) / (count + len(rows))
        products += count * part * np.outer(apart, apart)
        mean = mean + part * apart
        count += len(rows)
    variances, weights = _by_falling_variance(products)
    return mean, _signed(np.ascontiguousarray(weights[:, : _needed(variances, share)].T))


def _by_falling_variance(products: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the eigenvalues of a symmetric matrix, and the eigenvectors as columns."""
    variances, weights = np.linalg.eigh(products)
    return np.maximum(variances[::-1], 0.0), weights[:, ::-1]


def _needed(variances: NDArray[Any], share: float) -> int:
    """Return how many components keep a share of the variance."""
    ratios = np.cumsum(variances) / variances.sum()
    return min(len(variances), int(np.searchsorted(ratios, share, side="right")) + 1)


def _signed(components: NDArray[Any]) -> NDArray[Any]:
    """Let the largest coordinate of each component be positive."""
    for row in components:
        if row[np.abs(row).argmax()] < 0:
            row *= -1
    return components
