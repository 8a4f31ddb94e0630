"""Virtual-logit matching: a residual and a classifier of the normal classes, on features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression
from torch import nn

from insphere.detectors.base.checks import is_real, require, require_count
from insphere.detectors.base.components import beyond_components, fit_components
from insphere.detectors.base.method_card import MethodCard
from insphere.detectors.base.parameters import parameters
from insphere.detectors.frozen_features.pooled_features import Floats
from insphere.detectors.pretrained.classes_together import ClassesTogether
from insphere.detectors.pretrained.scoring_heads import VirtualLogit

COMPONENTS = ((2048, 1000), (768, 512))  # from so many features on, so many components (ViM, 4.1)
SMALLEST = float(np.finfo(np.float32).tiny)  # to divide by
ITERATIONS = 1000
TOLERANCE = 1e-6  # so that the classifier hardly depends on the order of the images


@parameters
class FeatureViM(ClassesTogether):
    """Virtual-logit matching on features (ViM; Wang et al. 2022), for several normal classes.

    A linear classifier learns to tell the normal classes apart. An image that belongs to none of
    them resembles none, so that all logits l_k are low; and it has something that varies in none,
    so that the length r of what the principal components leave of its features is large. Equation
    7 of the paper adds both: score = α r − log Σ exp(l_k). α is the mean of the largest logit of
    the training images divided by their mean r.

    The score by class k is the score plus the largest logit minus l_k. Classes cannot be added
    later, because one classifier tells all of them apart. Without classes the score is r.

    Two things differ from the paper. The classifier is a logistic regression on the features, since
    the pretrained network was not trained on the normal classes; and the components are those
    around the mean of the features.

    Parameters
    ----------
    n_components : int, optional
        Number of principal components that r leaves out. None is as in the paper: 1000 for at
        least 2048 features, 512 for at least 768, otherwise half as many as features; at most half
        as many as training images.
    C : float, default=1.0
        Inverse strength of the regularisation of the classifier, as in scikit-learn's
        `LogisticRegression`. Features are divided by their mean length.
    backbone, weights, stages, statistic, focus, normalize, resolution, resampling
    mirrored, finetune, cache, device, precision, callbacks
        See `PooledFeatures`.
    contamination, false_alarm_rate, calibration, random_state
        See `OneClassDetector`.

    Attributes
    ----------
    classes_ : list
        Classes of the normal images; empty without classes.
    alpha_ : float
        α; 1 without classes.
    coef_, intercept_ : ndarray, shapes (n_classes, d) and (n_classes,)
        From features to logits.

    References
    ----------
    Wang, Li, Feng and Zhang, "ViM: Out-of-distribution with virtual-logit matching", CVPR 2022.
    """

    card = MethodCard(
        key="feature-vim",
        title="Virtual-logit matching on features",
        family="pretrained",
        summary="a classifier of the normal classes and a residual, on pretrained features",
        takes=("images",),
        takes_classes=True,
        needs_pretrained=True,
    )

    _stored = ("mean_", "components_", "coef_", "intercept_", "alpha_")

    n_components: int | None = None
    C: float = 1.0

    # ------------------------------------------------------------------ ClassesTogether

    def _learn_classes(self, F: Floats, codes: NDArray[np.int64] | None) -> None:
        if self.n_components is not None:
            require_count("n_components", self.n_components, 1)
        require(
            is_real(self.C) and 0 < self.C < np.inf,
            f"C is a positive number, but got {self.C!r}.",
        )
        n, d = F.shape
        wanted = self.n_components or next((c for least, c in COMPONENTS if d >= least), d // 2)
        kept = max(1, min(wanted, n // 2, d - 1))
        mean, components = fit_components(F, kept)
        self.mean_, self.components_ = mean.astype(np.float64), components.astype(np.float64)
        self.coef_, self.intercept_ = np.empty((0, d)), np.empty(0)
        self.alpha_ = 1.0
        if codes is None or len(np.unique(codes)) < 2:
            return
        length = max(float(np.linalg.norm(F, axis=1).mean()), SMALLEST)
        linear = LogisticRegression(C=self.C, tol=TOLERANCE, max_iter=ITERATIONS)
        linear.fit(F.astype(np.float64) / length, codes)
        weights, bias = linear.coef_ / length, linear.intercept_
        if len(linear.classes_) == 2:  # scikit-learn keeps the difference of the two logits
            weights, bias = np.vstack([-weights, weights]) / 2, np.repeat(bias / 2, 2) * [-1, 1]
        self.coef_, self.intercept_ = weights.astype(np.float64), bias.astype(np.float64)
        residual = max(float(self._residual(F).mean()), SMALLEST)
        self.alpha_ = float(self._logits(F).max(axis=1).mean() / residual)

    def _score(self, F: Floats) -> Floats:
        score: Floats = self.alpha_ * self._residual(F)
        if len(self.coef_):
            score = score - logsumexp(self._logits(F), axis=1)
        return score

    def _head(self) -> nn.Module:
        return VirtualLogit(self.mean_, self.components_, self.coef_, self.intercept_, self.alpha_)

    def _scores_by_class(self, F: Floats) -> Floats:
        logits = self._logits(F)
        behind = logits.max(axis=1, keepdims=True) - logits
        found: Floats = self._score(F)[:, None] + behind
        return found

    def _restored(self) -> None:
        if len(self.coef_) != len(self.classes_):
            raise ValueError("the classifier does not fit the classes")

    # ------------------------------------------------------------------ inside

    def _residual(self, F: Floats) -> Floats:
        """Return the length of what the principal components leave of features (n, d)."""
        rest = beyond_components(F, self.mean_, self.components_)
        length: Floats = np.linalg.norm(rest, axis=1)
        return length

    def _logits(self, F: Floats) -> Floats:
        """Return the logits of the classes, shape (n, n_classes)."""
        logits: Floats = F @ self.coef_.T + self.intercept_
        return logits
