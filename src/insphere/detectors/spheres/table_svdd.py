"""Deep SVDD for tables: an ensemble of small spheres with many centres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from insphere.data.column_scale import ColumnScale
from insphere.detectors.base.estimator import Array
from insphere.detectors.base.method_card import MethodCard
from insphere.detectors.base.parameters import parameters
from insphere.detectors.base.score_modules import NearestVectors
from insphere.detectors.spheres.sphere_ensemble import LEAST, SphereEnsemble
from insphere.errors import DataError
from insphere.nets.rows import RowEncoder
from insphere.training.row_sphere import steps_that_carry_over

Floats = NDArray[np.float64]

VIEWS = ("standard", "tamed")
"""How the columns are scaled for a member: each view in turn."""
TAME_FROM = 3.0  # deviations from the mean; beyond them the logarithm counts
WIDTH = 64
FEW = 10  # rows for each column, below which it is checked that training carries over
NEAREST_SHOWN = 3


@dataclass(frozen=True, eq=False)
class RowReasons:
    """Why rows score as they do.

    Parameters
    ----------
    columns : tuple of str
        Names of the columns, in the units in which the user gave them.
    shares : ndarray of float64, shape (n, columns)
        Share of each column in the squared distance to the nearest normal rows; each row sums to 1,
        or to 0 if it equals a normal row.
    nearest : ndarray of int64, shape (n, k)
        The nearest stored normal rows.
    distances : ndarray of float64, shape (n, k)
        Distances to them, in standard deviations.
    usual : tuple of str
        What normal rows usually hold in each column.
    stored : tuple of tuple of str
        The values of the stored rows, a tuple for each column.
    """

    columns: tuple[str, ...]
    shares: Floats
    nearest: NDArray[np.int64]
    distances: Floats
    usual: tuple[str, ...]
    stored: tuple[tuple[str, ...], ...]

    def normal_value(self, place: int, column: str) -> str:
        """Return the value of a stored normal row in a column."""
        return self.stored[self.columns.index(column)][place]


@parameters
class TableSVDD(SphereEnsemble):
    """Deep SVDD for the rows of tables: an ensemble of small spheres with many centres.

    Each member scales the columns by normal rows, maps rows by a small encoder that starts as the
    identity (`insphere.nets.rows.RowEncoder`) and is trained to bring normal rows close to one of
    many learned centres (`insphere.training.row_sphere`). Then every normal row becomes a centre:
    the distance of a row is the mean of those to the `n_neighbors` nearest, in units of the median
    such distance among normal rows. The score is the geometric mean over the members.

    With fewer than 10 rows for each column, training ends where it no longer brings rows closer
    together that it does not see (`insphere.training.row_sphere.steps_that_carry_over`).

    Members differ in their seed and in the view: "standard" divides each column by its standard
    deviation, "tamed" also compresses what lies more than 3 of them away, so that heavy tails of
    one column do not hide the others. The numbers of one categorical column share a scale.

    Parameters
    ----------
    members, n_neighbors, steps, lr, max_rows
        See `insphere.detectors.spheres.sphere_ensemble.SphereEnsemble`.
    contamination, false_alarm_rate, calibration, random_state
        See `OneClassDetector`.

    Attributes
    ----------
    rows_ : ndarray of float64, shape (n, d)
        The stored normal rows.
    units_ : ndarray of float64, shape (members,)
        Median distance of normal rows by each member.
    """

    card = MethodCard(
        key="table-svdd",
        title="Deep SVDD for tables",
        family="sphere",
        summary="an ensemble of small spheres with many centres, for the rows of tables",
        takes=("tables",),
    )

    def _fit(self, X: Array) -> Floats:
        if self.modality_.key != "tables":
            raise DataError(f"TableSVDD takes tables, but got {self.modality_.noun}; use DeepSVDD.")
        return super()._fit(X)

    def _module(self) -> nn.Module:
        stored = [self._represented(self._view(self.rows_, m), m) for m in range(self.members)]
        nearest = min(self.n_neighbors, len(self.rows_) - 1)
        return RowSpheres(
            (self.mean_, self.weights_, self.units_),
            self.encoders_,
            [NearestVectors(np.ascontiguousarray(one), nearest) for one in stored],
        )

    def explain_rows(self, X: Any) -> RowReasons:
        """Return what each column adds to the distance of rows, and the nearest normal rows.

        The squared distance of a row to its nearest normal rows, in the scaled columns of each
        view, is a sum over the columns. A column that was constant in training and changed gets an
        equal share with all such columns and with the rest together.

        Parameters
        ----------
        X : table
            As in `fit`.
        """
        check_is_fitted(self)
        data = self._read(X)
        total = np.zeros_like(data)
        for member in range(min(self.members, len(VIEWS))):
            scaled = self._view(data, member)
            _, index = self._searches[member].kneighbors(self._represented(scaled, member))
            stored = self._view(self.rows_, member)
            gap = np.square(scaled[:, None] - stored[index]).mean(axis=1)
            total += gap / np.maximum(gap.sum(axis=1, keepdims=True), np.finfo(float).tiny)
            if not member:
                distances, nearest = self._searches[0].kneighbors(
                    self._represented(scaled, 0), n_neighbors=min(NEAREST_SHOWN, len(self.rows_))
                )
        columns, origin = self._columns()
        assert self.column_scale_ is not None
        changed = (data != 0) & self.column_scale_.constant
        shares = np.zeros((len(data), len(columns)))
        np.add.at(shares.T, origin, total.T)
        shares /= np.maximum(shares.sum(axis=1, keepdims=True), np.finfo(float).tiny)
        jumps = np.zeros_like(shares)
        np.add.at(jumps.T, origin, changed.T.astype(float))
        shares = (shares + jumps) / (1 + jumps.sum(axis=1, keepdims=True))
        values = self._texts(origin, len(columns))
        return RowReasons(columns, shares, nearest, distances, tuple(map(_usual, values)), values)

    # ------------------------------------------------------------------ SphereEnsemble

    def _learn_scale(self, rows: Floats) -> None:
        self.mean_, self.weights_ = rows.mean(axis=0), self._weights(rows)

    def _scale_arrays(self) -> dict[str, Floats]:
        return {"mean": self.mean_, "weights": self.weights_}

    def _set_scale(self, arrays: Mapping[str, Any]) -> None:
        self.mean_, self.weights_ = np.asarray(arrays["mean"]), np.asarray(arrays["weights"])

    def _encoder(self, shape: tuple[int, ...]) -> nn.Module:
        return RowEncoder(shape[0], WIDTH)

    def _steps(self, member: int, seed: int) -> int:
        """Return how many steps carry over to other rows, where there are few for their columns."""
        if not self.steps or len(self.rows_) >= FEW * self.rows_.shape[1]:
            return self.steps
        rows = self._view(self.rows_, member)
        build = partial(self._encoder, self._member_shape(member))
        return steps_that_carry_over(rows, build, seed=seed, steps=self.steps, lr=self.lr)

    def _view(self, rows: Floats, member: int) -> Floats:
        scaled: Floats = (rows - self.mean_) * self.weights_
        if VIEWS[member % len(VIEWS)] == "tamed":
            beyond = np.maximum(np.abs(scaled) - TAME_FROM, 0)
            return np.where(beyond > 0, np.sign(scaled) * (TAME_FROM + np.log1p(beyond)), scaled)
        return scaled

    # ------------------------------------------------------------------ inside

    def _weights(self, rows: Floats) -> Floats:
        """Return what columns are multiplied with; those that stand for one category alike."""
        columns, origin = self._columns()
        variances = np.zeros(len(columns))
        numbers = rows.var(axis=0)
        np.add.at(variances, origin, numbers)
        deviations = np.sqrt(variances)[origin]
        least = np.finfo(float).eps * np.maximum(1.0, np.abs(rows).max(axis=0))
        return np.where(deviations > least, 1 / np.maximum(deviations, least), 0.0)

    def _columns(self) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """Return the names of the user's columns, and for each number the place of its column."""
        schema = self.modality_.column_origins()
        if schema is not None:
            return schema
        n = self.rows_.shape[1]
        names = getattr(self, "feature_names_in_", range(n))
        return tuple(str(name) for name in names), np.arange(n)

    def _texts(self, origin: NDArray[np.int64], n: int) -> tuple[tuple[str, ...], ...]:
        """Return the stored rows in the user's columns, as texts."""
        scale: ColumnScale | None = self.column_scale_
        assert scale is not None
        rows = scale.back(self.rows_)
        found = self.modality_.shown_values(rows)
        if found is not None:
            return found
        return tuple(tuple(f"{value:.5g}" for value in column) for column in rows.T)


class RowSpheres(nn.Module):
    """The score of `TableSVDD` as a module on scaled rows, (N, d) to (N,), in float64.

    Parameters
    ----------
    scales : three of ndarray
        Mean and weight of each column, and the unit of each member.
    encoders : sequence of RowEncoder
        Of each member.
    nearest : sequence of NearestVectors
        From representations to the mean distance to stored ones.
    """

    mean: Tensor
    weights: Tensor

    def __init__(
        self,
        scales: tuple[Floats, Floats, Floats],
        encoders: Sequence[nn.Module],
        nearest: Sequence[nn.Module],
    ) -> None:
        super().__init__()
        mean, weights, units = scales
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("weights", torch.tensor(weights))
        self.units = [float(unit) for unit in units]
        self.encoders, self.nearest = nn.ModuleList(encoders), nn.ModuleList(nearest)

    def forward(self, x: Tensor) -> Tensor:
        """Score rows."""
        standard = (x.double() - self.mean) * self.weights
        beyond = (standard.abs() - TAME_FROM).clamp_min(0)
        tamed = standard.sign() * (TAME_FROM + (1 + beyond).log())
        views = {"standard": standard, "tamed": torch.where(beyond > 0, tamed, standard)}
        total = torch.zeros_like(standard[:, 0])
        for member, (encode, distance) in enumerate(zip(self.encoders, self.nearest, strict=True)):
            z = encode(views[VIEWS[member % len(VIEWS)]])
            total = total + (distance(z) / self.units[member] + LEAST).log()
        score: Tensor = ((total / len(self.units)).exp() - LEAST).clamp_min(0)
        return score


def _usual(values: tuple[str, ...]) -> str:
    """Return the middle half of numbers, or the most frequent text."""
    try:
        low, high = np.nanquantile(np.array(values, dtype=float), (0.25, 0.75))
    except ValueError:
        names, counts = np.unique(np.array(values, dtype=str), return_counts=True)
        return str(names[int(np.argmax(counts))])
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
