"""Principal components, cached for several detectors on the same features."""

from __future__ import annotations

import threading
from typing import Any

from numpy.typing import NDArray
from sklearn.decomposition import PCA

from insphere.fingerprint import array_fingerprint

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
    solver = "covariance_eigh" if F.shape[1] <= len(F) else "full"
    fitted = PCA(n_components=share, svd_solver=solver).fit(F)
    for array in (fitted.mean_, fitted.components_):
        array.setflags(write=False)
    return fitted.mean_, fitted.components_
