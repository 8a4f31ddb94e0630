"""Principal components of rows, and what they leave of others."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA


def fit_components(F: NDArray[Any], keep: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return mean and principal components of rows.

    Parameters
    ----------
    F : ndarray, shape (n, d)
        Rows.
    keep : float or int
        A share of the variance in (0, 1), or a number of components from 1 on.

    Returns
    -------
    mean : ndarray, shape (d,)
    components : ndarray, shape (k, d)
        Orthonormal rows, by falling variance.
    """
    solver = "covariance_eigh" if F.shape[1] <= len(F) else "full"
    fitted = PCA(n_components=keep, svd_solver=solver).fit(F)
    return fitted.mean_, fitted.components_


def beyond_components(
    F: NDArray[Any], mean: NDArray[Any], components: NDArray[Any]
) -> NDArray[np.floating[Any]]:
    """Return what components (k, d) around a mean (d,) leave of rows (n, d), shape (n, d)."""
    centered = F - mean
    rest: NDArray[np.floating[Any]] = centered - (centered @ components.T) @ components
    return rest
