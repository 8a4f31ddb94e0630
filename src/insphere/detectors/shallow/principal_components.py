"""Principal components, cached for several detectors on the same features."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

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
    key = f"{share} {array_fingerprint(F)}"
    with _lock:
        found = _latest.pop(key, None) or _fitted(F, share)
        _latest[key] = found
        while len(_latest) > KEPT:
            del _latest[next(iter(_latest))]
    return found


def forget_components() -> None:
    """Empty the cache."""
    with _lock:
        _latest.clear()


def _fitted(F: NDArray[Any], share: float) -> tuple[NDArray[Any], NDArray[Any]]:
    if F.size > LARGE and F.shape[1] > len(F):
        found = from_products(F, share)
    else:
        solver = "covariance_eigh" if F.shape[1] <= len(F) else "full"
        fitted = PCA(n_components=share, svd_solver=solver).fit(F)
        found = fitted.mean_, fitted.components_
    for array in found:
        array.setflags(write=False)
    return found


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
    variances, weights = np.linalg.eigh(products)
    variances, weights = np.maximum(variances[::-1], 0.0), weights[:, ::-1]
    kept = int(np.searchsorted(np.cumsum(variances) / variances.sum(), share, side="right")) + 1
    kept = min(kept, int((variances > n * np.finfo(np.float64).eps * variances[0]).sum()))
    scaled = weights[:, :kept].T / np.sqrt(variances[:kept, None])
    components = np.empty((kept, d))
    for block in blocks:
        components[:, block] = scaled @ (F[:, block] - mean[block])
    for row in components:
        if row[np.abs(row).argmax()] < 0:
            row *= -1
    return mean, components
