"""The scale of the columns of a training table, which is used for all later rows.

Columns have different units. So a distance over several columns is meaningful only if each is
divided by its variation among normal rows. A column that never varied in training has no such unit.
For such a column only a change is reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from insphere.errors import DataError

Floats = NDArray[np.float64]

QUARTILES = 1.349  # distance between the quartiles of a normal distribution, in deviations
TAILS = 3.290  # the same between the 5 % and 95 % quantiles
LEAST_OF_TAILS = 0.1  # least share of the unit that the tails would give
RESOLUTION = 1e-9  # of its size, by which a column may differ through rounding
NAMED = 5  # columns that a sentence names


@dataclass(frozen=True, eq=False)
class ColumnScale:
    """Centre and unit of each column.

    Parameters
    ----------
    center : ndarray of float64, shape (d,)
        Median of the training rows.
    scale : ndarray of float64, shape (d,)
        Unit: positive; 1 where the column was constant.
    constant : ndarray of bool, shape (d,)
        Columns that had one value in training.
    penalty : float
        What is added to the score of a row for each constant column that changed.
    """

    center: Floats
    scale: Floats
    constant: NDArray[np.bool_]
    penalty: float = 1.0

    @classmethod
    def fitted(cls, rows: Floats) -> Self:
        """Measure the columns robustly.

        The unit is the distance between the quartiles, in standard deviations of a normal
        distribution; at least a tenth of what the distance between the 5 % and 95 % quantiles
        gives, for columns that hardly move but for a few rows; the standard deviation where both
        are zero.

        Parameters
        ----------
        rows : ndarray of float64, shape (n, d)
            Normal rows; NaN is a missing value.
        """
        quantile: Any = np.quantile
        spread, highest, lowest = np.std, np.max, np.min
        if np.isnan(rows).any():
            rows = _without_empty(rows)
            quantile = np.nanquantile
            spread, highest, lowest = np.nanstd, np.nanmax, np.nanmin
        low, first, center, third, high = quantile(rows, (0.05, 0.25, 0.5, 0.75, 0.95), axis=0)
        scale = np.maximum((third - first) / QUARTILES, LEAST_OF_TAILS * (high - low) / TAILS)
        rounding = RESOLUTION * highest(np.abs(rows), axis=0)
        scale = np.where(scale > rounding, scale, spread(rows - center, axis=0))
        constant = highest(rows, axis=0) - lowest(rows, axis=0) <= rounding
        return cls(center, np.where(constant | (scale <= 0), 1.0, scale), constant)

    @classmethod
    def restored(cls, saved: NDArray[Any]) -> Self:
        """Make an object of what `saved` returned.

        Raises
        ------
        ValueError
            If it is nothing that `saved` returns.
        """
        if saved.ndim != 2 or len(saved) != 3 or not (saved[1] > 0).all():
            raise ValueError("the scale of the columns is not three rows of numbers")
        center, scale, penalties = saved.astype(np.float64)
        return cls(center, scale, penalties > 0, float(penalties.max(initial=0.0)) or 1.0)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ColumnScale) and np.array_equal(self.saved(), other.saved())

    __hash__ = None  # type: ignore[assignment]

    def saved(self) -> Floats:
        """Return everything as one array, shape (3, d)."""
        return np.stack([self.center, self.scale, self.penalties])

    @property
    def penalties(self) -> Floats:
        """What a change of each column adds to a score, shape (d,); 0 if it was not constant."""
        return np.where(self.constant, self.penalty, 0.0)

    def measured_by(self, scores: Floats) -> Self:
        """Return the same with a penalty that lifts a row above all of these scores.

        Parameters
        ----------
        scores : ndarray of float64, shape (n,)
            Of normal rows, none of whose constant columns changed.
        """
        spread = 2 * float(np.ptp(scores))
        return replace(self, penalty=spread if np.isfinite(spread) and spread > 0 else 1.0)

    def take(self, rows: Floats) -> Floats:
        """Return rows in units of the training rows; missing values (NaN) become 0, the median.

        Constant columns become 0, and 1 where they changed beyond rounding, whatever by.
        """
        scaled: Floats = (rows - self.center) / self.scale
        scaled[np.isnan(scaled)] = 0.0  # missing values are taken for the median
        if self.constant.any():
            scaled[:, self.constant] = self._changed(rows[:, self.constant])
        return scaled

    def back(self, scaled: Floats) -> Floats:
        """Return what `take` was given, but for constant columns, which get their one value."""
        rows: Floats = np.where(self.constant, self.center, scaled * self.scale + self.center)
        return rows

    def added(self, scaled: Floats) -> Floats:
        """Return what changed columns add to the scores of rows that `take` returned."""
        total: Floats = (scaled[:, self.constant] != 0).sum(axis=1) * self.penalty
        return total

    def changed(self, scaled: Floats) -> dict[int, int]:
        """Return in how many rows that `take` returned each constant column changed, if in any."""
        counts = (scaled[:, self.constant] != 0).sum(axis=0)
        places = np.flatnonzero(self.constant)
        return {int(i): int(n) for i, n in zip(places, counts, strict=True) if n}

    def _changed(self, values: Floats) -> NDArray[np.bool_]:
        center = self.center[self.constant]
        changed: NDArray[np.bool_] = np.abs(values - center) > RESOLUTION * np.abs(center)
        return changed


def _without_empty(rows: Floats) -> Floats:
    """Return rows in which columns without any value hold zeros."""
    filled: Floats = np.where(np.isnan(rows).all(axis=0), 0.0, rows)
    return filled


def fitted_columns(data: NDArray[Any], among: NDArray[np.bool_] | None) -> ColumnScale | None:
    """Measure the columns of training samples, if these are the rows of a table.

    Parameters
    ----------
    data : ndarray
        Images or rows.
    among : ndarray of bool, shape (n,), optional
        Which rows to look at; by default all.
    """
    if data.ndim != 2:
        return None
    rows = data if among is None else data[among]
    if not len(rows):
        raise DataError("There are no rows to measure the columns of the table on.")
    return ColumnScale.fitted(rows)


def changed_sentence(counts: dict[Any, int], center: Sequence[float], n: int) -> str:
    """Say which columns were constant in training and are not any more.

    Parameters
    ----------
    counts : dict
        Name of each such column, and in how many rows it changed.
    center : sequence of float
        The value that each had in training.
    n : int
        Number of rows.
    """
    said = [
        f"{name} (always {value:.6g}; other in {count:,} of {n:,} rows)"
        for (name, count), value in zip(counts.items(), center, strict=True)
    ]
    more = f" and {len(said) - NAMED} more" if len(said) > NAMED else ""
    return f"Constant in training and not any more: column {', '.join(said[:NAMED])}{more}."
