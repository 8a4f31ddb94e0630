"""Deep SVDD for tables: an ensemble of small spheres with many centres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from insphere.data.column_scale import ColumnScale
from insphere.detectors.base.checks import is_real, require, require_count
from insphere.detectors.base.estimator import Array, OneClassDetector, batches
from insphere.detectors.base.method_card import MethodCard
from insphere.detectors.base.network_state import arrays_of, load_arrays, seed_from
from insphere.detectors.base.parameters import parameters
from insphere.detectors.base.score_modules import NearestVectors
from insphere.errors import DataError
from insphere.nets.rows import RowEncoder
from insphere.training.row_sphere import train_row_sphere

Floats = NDArray[np.float64]

VIEWS = ("standard", "tamed")
"""How the columns are scaled for a member: each view in turn."""
TAME_FROM = 3.0  # deviations from the mean; beyond them the logarithm counts
BATCH = 2048
WIDTH = 64
LEAST = 1e-3  # of the usual distance: distances below it are alike
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
class TableSVDD(OneClassDetector):
    """Deep SVDD for the rows of tables: an ensemble of small spheres with many centres.

    Each member scales the columns by normal rows, maps rows by a small encoder that starts as the
    identity (`insphere.nets.rows.RowEncoder`) and is trained to bring normal rows close to one of
    many learned centres (`insphere.training.row_sphere`). Then every normal row becomes a centre:
    the distance of a row is the mean of those to the `n_neighbors` nearest, in units of the median
    such distance among normal rows. The score is the geometric mean over the members.

    Members differ in their seed and in the view: "standard" divides each column by its standard
    deviation, "tamed" also compresses what lies more than 3 of them away, so that heavy tails of
    one column do not hide the others. The numbers of one categorical column share a scale.

    Parameters
    ----------
    members : int, default=2
        Spheres of the ensemble.
    n_neighbors : int, default=3
        Nearest normal rows over which distances are averaged.
    steps : int, default=60
        Batches on which each member is trained; 0 leaves the scaled rows as they are.
    lr : float, default=1e-3
        Learning rate.
    max_rows : int, default=10000
        Normal rows that are stored at most, chosen at random.
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

    members: int = 2
    n_neighbors: int = 3
    steps: int = 60
    lr: float = 1e-3
    max_rows: int = 10_000

    def _fit(self, X: Array) -> Floats:
        self._check()
        if X.ndim != 2:
            raise DataError(f"TableSVDD takes tables, but got {self.modality_.noun}; use DeepSVDD.")
        seed = seed_from(self.random_state)
        rng = np.random.default_rng(seed)
        rows = X
        if len(X) > self.max_rows:
            rows = X[np.sort(rng.choice(len(X), self.max_rows, replace=False))]
        self.rows_ = np.ascontiguousarray(rows, dtype=np.float64)
        self.mean_, self.weights_ = self.rows_.mean(axis=0), self._weights(self.rows_)
        self.encoders_ = []
        for member in range(self.members):
            encoder = train_row_sphere(
                self._view(self.rows_, member),
                seed=int(rng.integers(2**31 - 1)),
                steps=self.steps,
                width=WIDTH,
                lr=self.lr,
            )
            self.encoders_.append(encoder)
        self.units_ = np.ones(self.members)
        self._prepare()
        own = np.stack([self._own_distances(member) for member in range(self.members)])
        medians = np.median(own, axis=1)
        self.units_ = np.where(medians > 0, medians, 1.0)
        stored: Floats = self._together(own)
        if len(rows) == len(X):
            return stored
        scores: Floats = self._anomaly_score(X)
        return scores

    def _anomaly_score(self, X: Array) -> Floats:
        parts = [
            self._together(np.stack([self._distances(part, m) for m in range(self.members)]))
            for part in batches(np.asarray(X, dtype=np.float64), BATCH)
        ]
        scores: Floats = np.concatenate(parts)
        return scores

    def _module(self) -> nn.Module:
        stored = [self._represented(self._view(self.rows_, m), m) for m in range(self.members)]
        nearest = min(self.n_neighbors, len(self.rows_) - 1)
        return RowSpheres(
            (self.mean_, self.weights_, self.units_),
            self.encoders_,
            [NearestVectors(np.ascontiguousarray(one), nearest) for one in stored],
        )

    def _training_scores(self, X: Array) -> Floats:
        """Return the scores of the stored rows, each without itself."""
        own = np.stack([self._own_distances(member) for member in range(self.members)])
        return self._together(own)

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

    def _state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        arrays: dict[str, Any] = {
            "rows": self.rows_, "mean": self.mean_, "weights": self.weights_, "units": self.units_
        }  # fmt: skip
        for member, encoder in enumerate(self.encoders_):
            arrays |= {f"encoder{member}.{n}": a for n, a in arrays_of(encoder).items()}
        return arrays, {}

    def _set_state(self, arrays: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
        self.rows_, self.mean_ = np.asarray(arrays["rows"]), np.asarray(arrays["mean"])
        self.weights_, self.units_ = np.asarray(arrays["weights"]), np.asarray(arrays["units"])
        self.encoders_ = []
        for member in range(self.members):
            prefix = f"encoder{member}."
            own = {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
            encoder = RowEncoder(self.rows_.shape[1], own["wide.weight"].shape[0]).double()
            load_arrays(encoder, own, torch.device("cpu"))
            self.encoders_.append(encoder)
        self._prepare()

    # ------------------------------------------------------------------ inside

    def _check(self) -> None:
        for name in ("members", "n_neighbors", "max_rows"):
            require_count(name, getattr(self, name), 1)
        require_count("steps", self.steps, 0)
        require(is_real(self.lr) and self.lr > 0, f"lr is above 0, but got {self.lr!r}.")

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

    def _view(self, rows: Floats, member: int) -> Floats:
        scaled: Floats = (rows - self.mean_) * self.weights_
        if VIEWS[member % len(VIEWS)] == "tamed":
            beyond = np.maximum(np.abs(scaled) - TAME_FROM, 0)
            return np.where(beyond > 0, np.sign(scaled) * (TAME_FROM + np.log1p(beyond)), scaled)
        return scaled

    def _represented(self, scaled: Floats, member: int) -> Floats:
        with torch.inference_mode():
            z = self.encoders_[member](torch.from_numpy(np.ascontiguousarray(scaled)))
        represented: Floats = z.numpy()
        return represented

    def _prepare(self) -> None:
        """Make the searches for neighbours among the stored rows."""
        self._searches = []
        for member in range(self.members):
            stored = self._represented(self._view(self.rows_, member), member)
            neighbors = min(self.n_neighbors, len(stored) - 1)
            self._searches.append(NearestNeighbors(n_neighbors=neighbors).fit(stored))

    def _distances(self, rows: Floats, member: int) -> Floats:
        z = self._represented(self._view(rows, member), member)
        distances: Floats = self._searches[member].kneighbors(z)[0].mean(axis=1)
        return distances

    def _own_distances(self, member: int) -> Floats:
        distances: Floats = self._searches[member].kneighbors()[0].mean(axis=1)
        return distances

    def _together(self, distances: Floats) -> Floats:
        """Return the geometric mean over members of distances (members, n) in their units."""
        relative = distances / self.units_[:, None]
        mean: Floats = np.exp(np.log(relative + LEAST).mean(axis=0)) - LEAST
        return np.maximum(mean, 0.0)

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
