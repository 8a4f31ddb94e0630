"""Where in a photograph a patch lies, and what is usual there."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Places = Literal["none", "border"]
Floats = NDArray[np.float64]

DEPTH = 4  # patches from a border from which a place counts as inside
SIDE = 2 * DEPTH - 1
COUNT = SIDE * SIDE  # places: SIDE bands from above, and from the left
FEWEST = 20  # scores from which a place has a mean and a deviation of its own


def places_of(rows: int, columns: int) -> NDArray[np.int64]:
    """Return the place of each position of a grid: its distances to the borders, up to `DEPTH`.

    The distance to the nearer border counts, in patches, so that the corners of photographs of
    different sizes are the same places.

    Parameters
    ----------
    rows, columns : int
        Size of the grid.

    Returns
    -------
    ndarray of int64, shape (rows, columns)
        From 0 to `COUNT` − 1.

    Examples
    --------
    >>> places_of(1, 9).tolist()
    [[0, 1, 2, 3, 3, 3, 4, 5, 6]]
    """
    bands = []
    for n in (rows, columns):
        before = np.arange(n)
        after = before[::-1]
        near = np.minimum(before, DEPTH - 1)
        bands.append(np.where(before <= after, near, SIDE - 1 - np.minimum(after, DEPTH - 1)))
    found: NDArray[np.int64] = bands[0][:, None] * SIDE + bands[1][None, :]
    return found


def places_in(known: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the places of patches that do not fill a grid; those that are missing are at 0.

    Parameters
    ----------
    known : ndarray of bool, shape (rows, columns)
        Where there are patches; the borders are those of the rectangle around them.
    """
    found = np.zeros(known.shape, np.int64)
    down, across = (np.flatnonzero(known.any(axis=axis)) for axis in (1, 0))
    if len(down):
        inside = (slice(down[0], down[-1] + 1), slice(across[0], across[-1] + 1))
        found[inside] = places_of(*found[inside].shape)
    return found


class UsualScores:
    """Mean and deviation of the scores of normal patches at each place.

    A score then counts by its standard deviations z above what is usual at its place: 1 + z above
    the mean, and eᶻ below it, so that it is never negative and keeps the order. Edges, corners and
    a frame score high in every photograph, and would hide what happens inside.

    Parameters
    ----------
    mean, deviation : ndarray, shape (COUNT,)
        Of the scores at each place.
    """

    def __init__(self, mean: Floats, deviation: Floats) -> None:
        self.mean, self.deviation = mean, deviation

    @classmethod
    def of(cls, scores: NDArray[Any]) -> UsualScores:
        """Measure the scores of normal photographs.

        Parameters
        ----------
        scores : ndarray, shape (N, rows, columns)
            NaN where there is no patch.
        """
        sums = np.zeros((3, COUNT))
        for grid in scores:
            known = ~np.isnan(grid)
            where, values = places_in(known)[known], grid[known].astype(np.float64)
            for power, row in enumerate(sums):
                row += np.bincount(where, values**power, COUNT)
        total = sums.sum(axis=1)
        few = sums[0] < FEWEST  # are measured together with all others
        sums[:, few] = total[:, None]
        mean = sums[1] / sums[0]
        spread = np.sqrt(np.maximum(sums[2] / sums[0] - mean**2, 0))
        tiny = np.finfo(np.float32).eps * max(float(np.abs(mean).max()), 1e-12)
        return cls(mean, np.maximum(spread, tiny))

    def grids(self, known: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        """Return mean and deviation at each position of a grid."""
        where = places_in(known)
        return self.mean[where], self.deviation[where]

    def __call__(self, scores: NDArray[Any]) -> Floats:
        """Return scores (N, rows, columns) as they count at their places."""
        out = np.empty(scores.shape)
        for i, grid in enumerate(scores):
            mean, deviation = self.grids(~np.isnan(grid))
            z = (grid - mean) / deviation
            out[i] = np.where(z > 0, 1 + z, np.exp(np.minimum(z, 0)))
        return out
