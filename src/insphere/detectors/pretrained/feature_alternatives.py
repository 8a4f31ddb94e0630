"""How clearly features show something that their network was pretrained to name."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from torch import nn

from insphere.detectors.base.checks import is_real, require
from insphere.detectors.base.estimator import Array
from insphere.detectors.base.method_card import MethodCard
from insphere.detectors.base.parameters import parameters
from insphere.detectors.frozen_features.pooled_features import Floats
from insphere.detectors.pretrained.alternative_classes import (
    ROOTS,
    alternative_deviations,
    alternative_weights,
    before_root,
    naming_layers,
)
from insphere.detectors.pretrained.classes_together import ClassesTogether
from insphere.detectors.pretrained.scoring_heads import OtherClasses


@parameters
class FeatureAlternatives(ClassesTogether):
    """Evidence for other classes: those that a network was pretrained to name.

    The layer that named K classes has a direction w_k for each. With the mean μ of the features of
    normal images, z_k = w_k·(f − μ) / σ_k says how far an image is moved towards class k, where σ_k
    is the standard deviation of w_k·f within the normal classes. The score is
    τ log (1/K) Σ exp(z_k/τ): the evidence for any class whatever.

    An image of a normal class that shows it clearly has a high score, too. So this is made for a
    `Combination` with detectors that have learned the normal classes: what shows nothing clearly
    resembles no normal class, but need not be anomalous; what shows something clearly, and
    resembles none, is. Alone it is seldom of use. Classes cannot be added later.

    The score by class c is the score plus what c lies behind: with the mean μ_c of its features
    instead of μ, the evidence is lowest for the class to which an image belongs.

    Parameters
    ----------
    temperature : float, default=2.0
        τ. The higher, the more classes count beside the one for which there is most evidence.
    backbone, weights, focus, normalize, resolution, resampling, mirrored
    finetune, cache, device, precision, callbacks
        See `PooledFeatures`. Backbones need the layer that named the classes of their pretraining.
    stages, statistic
        None and "mean", as that layer takes the mean of the last stage.
    contamination, false_alarm_rate, calibration, random_state
        See `OneClassDetector`.

    Attributes
    ----------
    classes_ : list
        Classes of the normal images; empty without classes.
    deviations_ : ndarray of float64, shape (n_networks, K)
        σ_k.
    middle_, middles_ : ndarray of float64, shapes (K,) and (n_classes or 1, K)
        What the directions, divided by σ_k, make of μ and of μ_c.

    See Also
    --------
    insphere.detectors.pretrained.alternative_classes.alternative_weights : Why these directions.
    """

    card = MethodCard(
        key="feature-alternatives",
        title="Evidence for other classes in features",
        family="pretrained",
        summary="how clearly an image shows what the network can name; beside a classifier",
        takes=("images",),
        takes_classes=True,
        needs_pretrained=True,
    )

    _stored = ("deviations_", "middle_", "middles_")

    temperature: float = 2.0

    # ------------------------------------------------------------------ ClassesTogether

    def _prepare(self, X: Array, labels: NDArray[np.int64] | None) -> None:
        require(
            is_real(self.temperature) and 0 < self.temperature < np.inf,
            f"temperature is a positive number, but got {self.temperature!r}.",
        )
        super()._prepare(X, labels)
        last = self.backbone_.choose_stages(lambda card: card.stage_names[-1:])
        require(
            self.statistic == "mean" and (self.stages is None or set(self.stages) == set(last)),
            "Evidence for other classes takes the mean of the last stage: leave out statistic and "
            "stages.",
        )
        naming_layers(self._extractor.backbone)

    def _learn_classes(self, F: Floats, codes: NDArray[np.int64] | None) -> None:
        F = before_root(F, self.normalize)
        codes = np.zeros(len(F), np.int64) if codes is None else codes
        names = np.unique(codes)
        means = np.stack([F[codes == name].mean(axis=0) for name in names])
        layers = naming_layers(self._extractor.backbone)
        places = np.searchsorted(names, codes)
        self.deviations_ = alternative_deviations(layers, F, means, places)
        self._directions = alternative_weights(layers, self.deviations_)
        self.middle_ = self._directions @ F.mean(axis=0)
        self.middles_ = means @ self._directions.T

    def _score(self, F: Floats) -> Floats:
        return self._evidence(self._told(F), self.middle_)

    def _scores_by_class(self, F: Floats) -> Floats:
        told = self._told(F)
        each = np.stack([self._evidence(told, middle) for middle in self.middles_], axis=1)
        behind = each - each.min(axis=1, keepdims=True)
        found: Floats = self._evidence(told, self.middle_)[:, None] + behind
        return found

    def _head(self) -> nn.Module:
        rooted = self.normalize in ROOTS
        return OtherClasses(self._directions, self.middle_, self.temperature, rooted=rooted)

    def _restored(self) -> None:
        if len(self.middles_) != max(1, len(self.classes_)):
            raise ValueError("the means do not fit the classes")
        layers = naming_layers(self._extractor.backbone)
        self._directions = alternative_weights(layers, self.deviations_)

    # ------------------------------------------------------------------ inside

    def _told(self, F: Floats) -> Floats:
        """Return Σ w_k·f / σ_k over networks, (n, d) to (n, K)."""
        told: Floats = before_root(F, self.normalize) @ self._directions.T
        return told

    def _evidence(self, told: Floats, middle: Floats) -> Floats:
        """Return the evidence around a mean, (n, K) to (n,)."""
        total = logsumexp((told - middle) / self.temperature, axis=1)
        evidence: Floats = self.temperature * (total - np.log(len(middle)))
        return evidence
