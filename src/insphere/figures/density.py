"""Densities of values and of pairs of values, by Gaussian kernels, on the grid that is drawn."""

from __future__ import annotations

from dataclasses import dataclass

import contourpy
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from insphere.explain.score_checks import as_scores

GRID = 80
LEVELS = (0.25, 0.5, 0.75, 0.95)  # shares of the probability that contours hold


@dataclass(frozen=True, eq=False)
class Density2D:
    """A density of pairs on a grid, and its contours.

    Parameters
    ----------
    x, y : ndarray, shape (GRID,)
        Places of the grid.
    height : ndarray, shape (GRID, GRID)
        Density at each (row y, column x).
    contours : tuple of ndarray, each of shape (n, 2)
        Lines that hold 95, 75, 50 and 25 % of the probability; a level may have several.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    height: NDArray[np.float64]
    contours: tuple[NDArray[np.float64], ...]


def density(
    values: ArrayLike, low: float, high: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return places and the density there; zero everywhere if it cannot be estimated.

    Parameters
    ----------
    values : array-like of float, shape (N,)
        What to smooth; the bandwidth follows Scott's rule.
    low, high : float
        Where the grid begins and ends.
    """
    points = as_scores(values, title="values")
    grid = np.linspace(low, high, GRID)
    if len(points) < 3 or np.ptp(points) <= 1e-9 * max(1.0, float(np.abs(points).max())):
        return grid, np.zeros(GRID)
    return grid, np.asarray(stats.gaussian_kde(points)(grid), dtype=np.float64)


def density_2d(x: ArrayLike, y: ArrayLike) -> Density2D | None:
    """Return the density of pairs, or None if there are too few, or they lie on a line.

    Parameters
    ----------
    x, y : array-like of float, shape (N,)
        The pairs; the bandwidth follows Scott's rule.
    """
    points = np.vstack([as_scores(x, title="x values"), as_scores(y, title="y values")])
    if points.shape[1] < 5 or np.linalg.matrix_rank(np.cov(points), tol=1e-9) < 2:
        return None
    kernel = stats.gaussian_kde(points)
    reach = 3.5 * np.sqrt(np.diag(kernel.covariance))
    grids = [
        np.linspace(row.min() - r, row.max() + r, GRID)
        for row, r in zip(points, reach, strict=True)
    ]
    mesh = np.meshgrid(*grids)
    height = kernel(np.vstack([axis.ravel() for axis in mesh])).reshape(GRID, GRID)
    falling = np.sort(height, axis=None)[::-1]
    held = np.cumsum(falling) / falling.sum()
    levels = [float(falling[np.searchsorted(held, share)]) for share in LEVELS]
    generator = contourpy.contour_generator(grids[0], grids[1], height)
    found = [np.asarray(one) for level in levels for one in generator.lines(level)]
    return Density2D(grids[0], grids[1], height, tuple(found))
