"""The Mahalanobis distance on features of a pretrained network."""

from __future__ import annotations

import numpy as np
from sklearn.covariance import LedoitWolf
from torch import nn

from insphere.detectors.base.method_card import MethodCard
from insphere.detectors.base.parameters import parameters
from insphere.detectors.frozen_features.pooled_features import Floats
from insphere.detectors.pretrained.pooled_detector import PooledDetector
from insphere.detectors.pretrained.scoring_heads import WhitenedDistance


@parameters
class FeatureMahalanobis(PooledDetector):
    """Mahalanobis distance to the mean of the training features (Rippel et al. 2020).

    The covariance is shrunk towards a multiple of the identity by the share that Ledoit and Wolf
    (2004) compute from the training features. It can then be inverted for any number of images.

    Parameters
    ----------
    backbone, weights, stages, statistic, focus, normalize, resolution, resampling
    mirrored, finetune, cache, device, precision, callbacks
        See `PooledFeatures`.
    contamination, false_alarm_rate, calibration, random_state
        See `OneClassDetector`.
    """

    card = MethodCard(
        key="feature-mahalanobis",
        title="Mahalanobis on features",
        family="pretrained",
        summary="Mahalanobis distance in pretrained features",
        takes=("images",),
        takes_classes=True,
        needs_pretrained=True,
    )

    _stored = ("mean_", "whitening_")

    def _learn(self, F: Floats) -> None:
        estimate = LedoitWolf(store_precision=False).fit(F)
        variances, directions = np.linalg.eigh(estimate.covariance_)
        smallest = np.finfo(np.float64).eps * max(float(variances[-1]), np.finfo(np.float64).tiny)
        self.mean_ = estimate.location_
        self.whitening_ = directions / np.sqrt(np.maximum(variances, smallest))

    def _score(self, F: Floats) -> Floats:
        distance: Floats = np.linalg.norm((F - self.mean_) @ self.whitening_, axis=1)
        return distance

    def _head(self) -> nn.Module:
        return WhitenedDistance(self.mean_, self.whitening_)
