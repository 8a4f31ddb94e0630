"""Nearest neighbours on features of a pretrained network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from torch import nn

from insphere.detectors.base.checks import require
from insphere.detectors.base.estimator import Array
from insphere.detectors.base.many_rows import EXACT_ROWS, sampled_rows
from insphere.detectors.base.method_card import MethodCard
from insphere.detectors.base.neighbors import check_neighbors
from insphere.detectors.base.parameters import parameters
from insphere.detectors.base.score_modules import neighbors_head
from insphere.detectors.base.suspects import (
    are_stored,
    neighbor_score,
    neighbors_to_keep,
    scores_as_if_new,
)
from insphere.detectors.frozen_features.pooled_features import Floats
from insphere.detectors.pretrained.pooled_detector import PooledDetector
from insphere.detectors.pretrained.scoring_heads import LEAST_RATIO, DividedByLikelihood

DIMENSION = 16  # intrinsic, of fine-tuned features, nearly; see `FeatureKNN.background`


@parameters
class FeatureKNN(PooledDetector):
    """Mean distance to the nearest training images, in the features of a pretrained network.

    The threshold is placed on leave-one-out distances, because each training image is its own
    nearest neighbour.

    Parameters
    ----------
    n_neighbors : int, default=2
        Neighbours whose Euclidean distances are averaged.
    background : bool, default=False
        Divide the distance by r(x)^(1/16), where r is how much likelier the image is under the
        training images (or its class) than under the pretraining; see
        `insphere.training.known_classes.Background`. The density of images at distance d to their
        neighbours falls with d to the power of the intrinsic dimension, which is about 16 to 20
        here (Levina and Bickel 2005), so that this is the product of both densities on the scale
        of a distance. Takes a backbone whose last layer is known, and ``normalize="root"``.
    exact_rows : int, default=30000
        Training rows that are compared with; of more, a uniform sample of so many is kept, and
        ``approximation_`` says so.
    pollution : float, dict or None, default=None
        Share of the training images that may be anomalous, and what becomes of those that look so;
        see `insphere.detectors.KNNDetector`.
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

    @property
    def _stored(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("training_", *(("suspects_",) if are_stored(self.pollution) else ()))

    n_neighbors: int = 2
    background: bool = False
    exact_rows: int = EXACT_ROWS
    pollution: Any = None

    # Set by `fit`; no parameters.
    suspects_: Floats | None = field(init=False, default=None)
    _kept: NDArray[np.intp] | None = field(init=False, default=None)
    approximation_: str | None = field(init=False, default=None)

    def _prepare(self, X: Array, labels: NDArray[np.int64] | None) -> None:
        require(
            not self.background
            or (self.normalize, self.statistic, self.focus) == ("root", "mean", None),
            'background takes the means of the last map: give normalize="root", and leave out '
            "statistic and focus.",
        )
        super()._prepare(X, labels)
        last = self.backbone_.stage_names[-1]
        require(
            not self.background
            or (self._named is not None and (self.stages is None or list(self.stages) == [last])),
            f"background takes the last stage of a backbone with the layer that named the classes "
            f"of its pretraining, such as efficientnet-lite0, but got {self.backbone_.name} with "
            f"{self.backbone_.weights} weights and stages={self.stages!r}.",
        )

    def _learn(self, F: Floats) -> None:
        rows, self._kept, self.approximation_ = sampled_rows(F, self.exact_rows, self.random_state)
        check_neighbors(self.n_neighbors, len(rows))
        self.training_, self.suspects_, self._kept = neighbors_to_keep(
            rows, self._kept, self.pollution, self.n_neighbors
        )
        if self.background:
            self.shares_ = self._probabilities(self.training_).mean(axis=0)

    def _state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        arrays, meta = super()._state()
        if self.approximation_ is not None:
            meta["approximation"] = self.approximation_
        return arrays, meta

    def _set_state(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        super()._set_state(arrays, meta)
        self.approximation_ = meta.get("approximation")

    def _score(self, F: Floats) -> Floats:
        distance = neighbor_score(self.training_, self.suspects_, F, self.n_neighbors)
        return distance / self._likelier(F) if self.background else distance

    def _head(self) -> nn.Module:
        nearest = neighbors_head(self.training_, self.suspects_, self.n_neighbors)
        if not self.background:
            return nearest
        weight, bias = self._layer
        return DividedByLikelihood(nearest, weight, bias, self.shares_, 1 / DIMENSION)

    def _learned(self) -> dict[str, Array]:
        return super()._learned() | ({"shares_": self.shares_} if self.background else {})

    def _set_learned(self, arrays: Mapping[str, Array]) -> None:
        super()._set_learned(arrays)
        if self.background:
            self.shares_ = arrays["shares_"]

    @property
    def _named(self) -> nn.Linear | None:
        return self._extractor.backbone.classifier

    @property
    def _layer(self) -> tuple[Floats, Floats]:
        """Weight (N, d) and bias (N,) of the layer that named the classes of the pretraining."""
        assert self._named is not None
        weight, bias = self._named.weight, self._named.bias
        return weight.detach().double().cpu().numpy(), bias.detach().double().cpu().numpy()

    def _probabilities(self, F: Floats) -> Floats:
        """Return p(k|x) of the N classes of the pretraining for roots of means, shape (n, N)."""
        weight, bias = self._layer
        found: Floats = softmax(np.square(F) @ weight.T + bias, axis=1)
        return found

    def _likelier(self, F: Floats) -> Floats:
        """Return r(x)^(1/D) for each row."""
        ratios = len(self.shares_) * (self._probabilities(F) @ self.shares_)
        powers: Floats = np.maximum(ratios, LEAST_RATIO) ** (1 / DIMENSION)
        return powers

    def _as_new(self, X: Array) -> Floats:
        own = scores_as_if_new(self.training_, self.suspects_, self.n_neighbors)
        if self.background:
            stored = (
                [self.training_] if self.suspects_ is None else [self.training_, self.suspects_]
            )
            own = own / self._likelier(np.concatenate(stored))
        if self._kept is None:
            return own
        scores = np.empty(len(X))
        others = np.ones(len(X), dtype=bool)
        others[self._kept] = False
        scores[self._kept], scores[others] = own, self._anomaly_score(X[others])
        return scores
