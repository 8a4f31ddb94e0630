"""Nearest neighbours on features of a pretrained network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from insphere.detectors.base.estimator import Array
from insphere.detectors.base.many_rows import EXACT_ROWS, sampled_rows
from insphere.detectors.base.method_card import MethodCard
from insphere.detectors.base.neighbors import check_neighbors, mean_distance
from insphere.detectors.base.parameters import parameters
from insphere.detectors.base.score_modules import NearestVectors
from insphere.detectors.frozen_features.pooled_features import Floats
from insphere.detectors.pretrained.pooled_detector import PooledDetector


@parameters
class FeatureKNN(PooledDetector):
    """Mean distance to the nearest training images, in the features of a pretrained network.

    The threshold is placed on leave-one-out distances, because each training image is its own
    nearest neighbour.

    Parameters
    ----------
    n_neighbors : int, default=2
        Neighbours whose Euclidean distances are averaged.
    exact_rows : int, default=30000
        Training rows that are compared with; of more, a uniform sample of so many is kept, and
        ``approximation_`` says so.
    backbone, weights, stages, statistic, focus, normalize, resolution, resampling
    mirrored, finetune, cache, device, precision, callbacks
        See `PooledFeatures`.
    contamination, false_alarm_rate, calibration, random_state
        See `OneClassDetector`.
    """

    card = MethodCard(
        key="feature-knn",
        title="Nearest neighbours on features",
        family="pretrained",
        summary="distance to the nearest normal images in pretrained features",
        takes=("images",),
        takes_classes=True,
        needs_pretrained=True,
    )

    _stored = ("training_",)

    n_neighbors: int = 2
    exact_rows: int = EXACT_ROWS

    # Set by `fit`; no parameters.
    _kept: NDArray[np.intp] | None = field(init=False, default=None)
    approximation_: str | None = field(init=False, default=None)

    def _learn(self, F: Floats) -> None:
        rows, self._kept, self.approximation_ = sampled_rows(F, self.exact_rows, self.random_state)
        check_neighbors(self.n_neighbors, len(rows))
        self.training_ = rows

    def _state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        arrays, meta = super()._state()
        if self.approximation_ is not None:
            meta["approximation"] = self.approximation_
        return arrays, meta

    def _set_state(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        super()._set_state(arrays, meta)
        self.approximation_ = meta.get("approximation")

    def _score(self, F: Floats) -> Floats:
        return mean_distance(self.training_, F, self.n_neighbors)

    def _head(self) -> nn.Module:
        return NearestVectors(self.training_, self.n_neighbors)

    def _as_new(self, X: Array) -> Floats:
        own = mean_distance(self.training_, None, self.n_neighbors)
        if self._kept is None:
            return own
        scores = np.empty(len(X))
        others = np.ones(len(X), dtype=bool)
        others[self._kept] = False
        scores[self._kept], scores[others] = own, self._anomaly_score(X[others])
        return scores
