"""The base of ensembles of small spheres with many centres, for tables and for series."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors
from torch import nn

from insphere.detectors.base.checks import is_real, require, require_count
from insphere.detectors.base.estimator import Array, OneClassDetector, batches
from insphere.detectors.base.network_state import arrays_of, load_arrays, seed_from
from insphere.detectors.base.parameters import parameters
from insphere.training.row_sphere import train_row_sphere

Floats = NDArray[np.float64]

BATCH = 2048
LEAST = 1e-3  # of the usual distance: distances below it are alike


@parameters
class SphereEnsemble(OneClassDetector):
    """An ensemble of small spheres with many centres; see the concrete detectors.

    Parameters
    ----------
    members : int, default=2
        Spheres of the ensemble.
    n_neighbors : int, default=3
        Nearest normal samples over which distances are averaged.
    steps : int, default=60
        Batches on which each member is trained; 0 leaves the scaled samples as they are.
    lr : float, default=1e-3
        Learning rate.
    max_rows : int, default=10000
        Normal samples that are stored at most, chosen at random.
    contamination, false_alarm_rate, calibration, random_state
        See `OneClassDetector`.
    """

    members: int = 2
    n_neighbors: int = 3
    steps: int = 60
    lr: float = 1e-3
    max_rows: int = 10_000

    # ------------------------------------------------------------------ for subclasses

    @abstractmethod
    def _learn_scale(self, rows: Floats) -> None:
        """Learn from normal samples what `_view` needs."""

    @abstractmethod
    def _view(self, rows: Floats, member: int) -> Floats:
        """Return samples as a member sees them."""

    @abstractmethod
    def _encoder(self, shape: tuple[int, ...]) -> nn.Module:
        """Return an encoder for samples of this shape that is the identity."""

    def _member_shape(self, member: int) -> tuple[int, ...]:
        """Return the shape of a sample as a member sees it."""
        return self.rows_.shape[1:]

    def _steps(self, member: int, seed: int) -> int:
        """Return for how many steps a member is trained."""
        return self.steps

    @abstractmethod
    def _scale_arrays(self) -> dict[str, Floats]:
        """Return what `_learn_scale` learned, by name."""

    @abstractmethod
    def _set_scale(self, arrays: Mapping[str, Any]) -> None:
        """Restore what `_scale_arrays` returned."""

    @property
    def _count(self) -> int:
        """Number of members."""
        return self.members

    def _own_distances(self, member: int) -> Floats:
        """Return the distance of each stored sample, as if it were new."""
        distances: Floats = self._searches[member].kneighbors()[0].mean(axis=1)
        return distances

    # ------------------------------------------------------------------ OneClassDetector

    def _fit(self, X: Array) -> Floats:
        for name in ("members", "n_neighbors", "max_rows"):
            require_count(name, getattr(self, name), 1)
        require_count("steps", self.steps, 0)
        require(is_real(self.lr) and self.lr > 0, f"lr is above 0, but got {self.lr!r}.")
        rng = np.random.default_rng(seed_from(self.random_state))
        self.places_ = np.arange(len(X))
        if len(X) > self.max_rows:
            self.places_ = np.sort(rng.choice(len(X), self.max_rows, replace=False))
        self.rows_ = np.ascontiguousarray(X[self.places_], dtype=np.float64)
        self._learn_scale(self.rows_)
        self.encoders_ = [
            self._trained(member, int(rng.integers(2**31 - 1))) for member in range(self._count)
        ]
        self._prepare()
        own = np.stack([self._own_distances(member) for member in range(self._count)])
        medians = np.median(own, axis=1)
        self.units_ = np.where(medians > 0, medians, 1.0)
        if len(self.rows_) == len(X):
            return self._together(own)
        return self._anomaly_score(X)

    def _anomaly_score(self, X: Array) -> Floats:
        parts = [
            self._together(
                np.stack([self._distances(np.asarray(p, float), m) for m in range(self._count)])
            )
            for p in batches(X, BATCH)
        ]
        scores: Floats = np.concatenate(parts) if parts else np.empty(0)
        return scores

    def _training_scores(self, X: Array) -> Floats:
        """Return the scores of the stored samples, as if each were new."""
        own = np.stack([self._own_distances(member) for member in range(self._count)])
        return self._together(own)

    def _state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        arrays: dict[str, Any] = {"rows": self.rows_, **self._scale_arrays(), "units": self.units_}
        for member, encoder in enumerate(self.encoders_):
            arrays |= {f"encoder{member}.{n}": a for n, a in arrays_of(encoder).items()}
        return arrays, {}

    def _set_state(self, arrays: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
        self.rows_, self.units_ = np.asarray(arrays["rows"]), np.asarray(arrays["units"])
        self._set_scale(arrays)
        self.encoders_ = []
        for member in range(self._count):
            prefix = f"encoder{member}."
            own = {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
            encoder = self._encoder(self._member_shape(member)).double()
            load_arrays(encoder, own, torch.device("cpu"))
            self.encoders_.append(encoder)
        self._prepare()

    # ------------------------------------------------------------------ inside

    def _trained(self, member: int, seed: int) -> nn.Module:
        """Return the trained encoder of a member."""
        return train_row_sphere(
            self._view(self.rows_, member),
            partial(self._encoder, self._member_shape(member)),
            seed=seed,
            steps=self._steps(member, seed),
            lr=self.lr,
        )

    def _represented(self, scaled: Floats, member: int) -> Floats:
        """Return representations, flattened to (n, d)."""
        with torch.inference_mode():
            z = self.encoders_[member](torch.from_numpy(np.ascontiguousarray(scaled)))
        represented: Floats = z.flatten(1).numpy()
        return represented

    def _prepare(self) -> None:
        """Make the searches for neighbours among the stored samples."""
        self._searches = []
        for member in range(self._count):
            stored = self._represented(self._view(self.rows_, member), member)
            neighbors = min(self.n_neighbors, len(stored) - 1)
            self._searches.append(NearestNeighbors(n_neighbors=neighbors).fit(stored))

    def _distances(self, rows: Floats, member: int) -> Floats:
        z = self._represented(self._view(rows, member), member)
        distances: Floats = self._searches[member].kneighbors(z)[0].mean(axis=1)
        return distances

    def _together(self, distances: Floats) -> Floats:
        """Return the geometric mean over members of distances (members, n) in their units."""
        relative = distances / self.units_[: len(distances), None]
        mean: Floats = np.exp(np.log(relative + LEAST).mean(axis=0)) - LEAST
        return np.maximum(mean, 0.0)
