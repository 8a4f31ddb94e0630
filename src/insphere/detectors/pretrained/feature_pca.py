"""Principal components of features of a pretrained network."""

from __future__ import annotations

import numpy as np
from torch import nn

from insphere.detectors.base.checks import is_real, require
from insphere.detectors.base.components import beyond_components, fit_components
from insphere.detectors.base.method_card import MethodCard
from insphere.detectors.base.parameters import parameters
from insphere.detectors.frozen_features.pooled_features import Floats
from insphere.detectors.pretrained.pooled_detector import PooledDetector
from insphere.detectors.pretrained.scoring_heads import ComponentError


@parameters
class FeaturePCA(PooledDetector):
    """Error of the reconstruction from the principal components of the training features.

    Parameters
    ----------
    pca : float, default=0.95
        Share of the variance that the components keep, in (0, 1).
    backbone, weights, stages, statistic, focus, normalize, resolution, resampling
    mirrored, finetune, cache, device, precision, callbacks
        See `PooledFeatures`.
    contamination, false_alarm_rate, calibration, random_state
        See `OneClassDetector`.
    """

    card = MethodCard(
        key="feature-pca",
        title="PCA reconstruction of features",
        family="pretrained",
        summary="reconstruction error of pretrained features under PCA",
        takes=("images",),
        takes_classes=True,
        needs_pretrained=True,
    )

    _stored = ("mean_", "components_")

    pca: float = 0.95

    def _learn(self, F: Floats) -> None:
        require(
            is_real(self.pca) and 0 < self.pca < 1,
            f"pca is the share of variance to keep, between 0 and 1, but got {self.pca!r}.",
        )
        self.mean_, self.components_ = fit_components(F, self.pca)

    def _score(self, F: Floats) -> Floats:
        rest = beyond_components(F, self.mean_, self.components_)
        error: Floats = np.square(rest).sum(axis=1)
        return error

    def _head(self) -> nn.Module:
        return ComponentError(self.mean_, self.components_)
