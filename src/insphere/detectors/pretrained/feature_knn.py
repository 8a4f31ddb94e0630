"""Nearest neighbours on features of a pretrained network."""

from __future__ import annotations

from torch import nn

from insphere.detectors.base.estimator import Array
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

    def _learn(self, F: Floats) -> None:
        check_neighbors(self.n_neighbors, len(F))
        self.training_ = F

    def _score(self, F: Floats) -> Floats:
        return mean_distance(self.training_, F, self.n_neighbors)

    def _head(self) -> nn.Module:
        return NearestVectors(self.training_, self.n_neighbors)

    def _as_new(self, X: Array) -> Floats:
        return mean_distance(self.training_, None, self.n_neighbors)
