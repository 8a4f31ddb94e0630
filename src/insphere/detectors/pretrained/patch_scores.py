"""Scores and heat maps of images, from the scores of their patches."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter, gaussian_filter1d, zoom

from insphere.detectors.base.checks import is_real, require

Pooling = Literal["max", "top", "weighted", "mean"]
Floats = NDArray[np.float64]


def check_pooling(pooling: Any, top_share: Any) -> None:
    """Raise SpecError unless both are valid settings of `pool_patches`."""
    require(
        pooling in ("max", "top", "weighted", "mean"),
        f'pooling is "max", "top", "weighted" or "mean", but got {pooling!r}.',
    )
    require(
        is_real(top_share) and 0 < top_share <= 1,
        f"top_share is a share of the patches, in (0, 1], but got {top_share!r}.",
    )


def pool_patches(scores: Floats, pooling: Pooling, top_share: float = 0.1) -> Floats:
    """Return one score for each image.

    Parameters
    ----------
    scores : ndarray, shape (N, P)
        Scores of patches, not negative; NaN where there is no patch, which counts as nothing.
    pooling : {"max", "top", "weighted", "mean"}
        The highest score; the mean of the highest `top_share`; the mean weighted by the scores
        themselves, Σ s² / Σ s; or the plain mean.
    top_share : float
        Share of the patches for "top"; at least one patch is used.

    Examples
    --------
    >>> pool_patches(np.array([[1.0, 3.0, 0.0, 0.0]]), "weighted")
    array([2.5])
    >>> pool_patches(np.array([[1.0, 3.0, np.nan, np.nan]]), "mean")
    array([2.])
    """
    if np.isnan(scores).any():
        rows = [row[~np.isnan(row)][None] for row in scores]
        return np.array([float(pool_patches(row, pooling, top_share)[0]) for row in rows])
    if pooling == "max":
        result: Floats = scores.max(axis=1)
    elif pooling == "mean":
        result = scores.mean(axis=1)
    elif pooling == "weighted":
        total = scores.sum(axis=1)
        result = np.square(scores).sum(axis=1) / np.where(total > 0, total, 1)
    else:
        kept = max(1, round(top_share * scores.shape[1]))
        result = np.partition(scores, -kept, axis=1)[:, -kept:].mean(axis=1)
    return result


def image_maps(
    scores: NDArray[np.floating[Any]],
    size: tuple[int, int],
    smoothing: float | None = None,
    spread: float = 0.5,
) -> NDArray[np.float32]:
    """Resize patch scores to the resolution of the images, and smooth them.

    Parameters
    ----------
    scores : ndarray, shape (N, rows, columns)
        Scores of patches on their grid; NaN where there is no patch. The map is 0 there.
    size : (int, int)
        Height and width of the maps, in pixels.
    smoothing : float, optional
        Standard deviation of the Gaussian, in pixels; by default it follows from `spread`.
    spread : float
        The same in distances of two patches.

    Returns
    -------
    ndarray of float32, shape (N, H, W)
    """
    height, width = size
    rows, columns = height / scores.shape[1], width / scores.shape[2]
    sigma = (rows * spread, columns * spread) if smoothing is None else (smoothing, smoothing)
    maps = np.empty((len(scores), height, width), np.float32)
    for i, grid in enumerate(scores):
        known = ~np.isnan(grid)
        values = np.asarray(grid, np.float64) if known.all() else _continued(grid, known)
        enlarged = _enlarged(values, size, order=1)
        maps[i] = gaussian_filter(enlarged, sigma, mode="nearest")
        if not known.all():
            maps[i] *= _enlarged(known.astype(np.float64), size, order=0)
    return maps


def enlargements(
    grid: tuple[int, int],
    size: tuple[int, int],
    smoothing: float | None = None,
    spread: float = 0.5,
) -> list[Floats]:
    """Return what `image_maps` does along each side as a matrix, as it is linear in the scores.

    Parameters
    ----------
    grid : (int, int)
        Rows and columns of patches, all of which there are.
    size, smoothing, spread
        As in `image_maps`.

    Returns
    -------
    list of ndarray of float64, shapes (H, rows) and (W, columns)
        The map is the first, times the scores, times the second transposed.
    """
    found = []
    for places, side in zip(grid, size, strict=True):
        apart = side / places
        enlarged = zoom(np.eye(places), (apart, 1), order=1, mode="nearest", grid_mode=True)
        sigma = apart * spread if smoothing is None else smoothing
        found.append(gaussian_filter1d(enlarged, sigma, axis=0, mode="nearest"))
    return found


def shown_patches(
    known: NDArray[np.bool_], size: tuple[int, int]
) -> tuple[NDArray[np.int64], Floats]:
    """Return what `image_maps` does about positions without a patch, as two arrays.

    Parameters
    ----------
    known : ndarray of bool, shape (rows, columns)
        Where there are patches.
    size : (int, int)
        Height and width of the maps, in pixels.

    Returns
    -------
    places : ndarray of int64, shape (rows · columns,)
        Of each position the place, among the patches there are, of the nearest one.
    shown : ndarray of float64, shape (H, W)
        By which maps are multiplied.
    """
    order = np.zeros(known.shape)
    order[known] = np.arange(known.sum())
    places = _continued(np.where(known, order, np.nan), known).astype(np.int64)
    return places.ravel(), _enlarged(known.astype(np.float64), size, order=0)


def _enlarged(values: Floats, size: tuple[int, int], order: int) -> Floats:
    factors = (size[0] / values.shape[0], size[1] / values.shape[1])
    enlarged: Floats = zoom(values, factors, order=order, mode="nearest", grid_mode=True)
    return enlarged


def _continued(grid: NDArray[np.floating[Any]], known: NDArray[np.bool_]) -> Floats:
    """Return scores in which a place without a patch has that of the nearest one."""
    if not known.any():
        return np.zeros(grid.shape)
    places = distance_transform_edt(~known, return_distances=False, return_indices=True)
    return np.asarray(grid[tuple(places)], np.float64)
