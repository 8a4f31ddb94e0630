"""Kernel density estimation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.utils import check_random_state

from insphere.detectors.base.checks import is_real, require
from insphere.detectors.base.estimator import Array, batches
from insphere.detectors.base.many_rows import EXACT_ROWS
from insphere.detectors.base.method_card import MethodCard
from insphere.detectors.base.parameters import parameters
from insphere.detectors.shallow.vector_detector import BATCH, FlatDetector, Floats, of_pixels

if TYPE_CHECKING:
    from torch import nn

FOLDS = 5


@parameters
class KDEDetector(FlatDetector):
    """Gaussian kernel density estimate (Parzen, 1962).

    The anomaly score is minus the log-density, up to a constant. The score of a training image is
    computed without its own kernel.

    Parameters
    ----------
    bandwidth : float, "paper" or None, default=None
        Standard deviation of the kernel; None takes that of 13 values with the highest
        leave-one-out likelihood, from 1/16 to 4 times the root mean variance of the features.
        "paper" takes that of 2^0.5, 2^1, 2^1.5, …, 2^5 with the highest likelihood in 5-fold
        cross-validation (Ruff et al. 2018), independent of the scale of the features.
    pca : float, "auto" or None, default="auto"
        First project onto the principal components that keep this share of the variance; "auto" is
        0.95 for images, and no projection for tables.
    exact_rows : int, default=30000
        Training rows that are compared with; of more, a uniform sample of so many is kept, and
        ``approximation_`` says so.
    preprocess : "gcn" or None, default=None
        "gcn" normalises the contrast of each image and maps the extremes to [0, 1] first, as the
        paper does; None takes pixels as they are.
    features
        Use a pretrained network instead of pixels; see `FlatDetector`.
    contamination, false_alarm_rate, calibration, random_state
        See `OneClassDetector`.
    """

    card = MethodCard(
        key="kde",
        title="KDE",
        family="shallow",
        summary="low density in a kernel density estimate, on raw pixels",
    )
    _stored = ("training_", "bandwidth_")

    bandwidth: float | str | None = None
    pca: float | str | None = "auto"
    preprocess: str | None = None
    exact_rows: int = EXACT_ROWS

    def _learn(self, F: Floats) -> None:
        F = self.training_ = self._sampled(F, self.exact_rows)
        if self.bandwidth == "paper":
            self.bandwidth_ = self._cross_validated(F, 2.0 ** np.linspace(0.5, 5, 10))
            return
        if self.bandwidth is not None:
            require(
                is_real(self.bandwidth) and float(self.bandwidth) > 0,
                f'bandwidth is a positive number, "paper" or None, but got {self.bandwidth!r}.',
            )
            self.bandwidth_ = float(self.bandwidth)
            return
        candidates = np.sqrt(F.var(axis=0).mean()) * 2.0 ** np.linspace(-4, 2, 13)
        rows = np.unique(np.linspace(0, len(F) - 1, BATCH).astype(int))
        squared = self._squared_distances(F[rows], rows)
        likelihood = [
            -self._minus_log_density(squared, h).mean() - F.shape[1] * np.log(h) for h in candidates
        ]
        self.bandwidth_ = float(candidates[int(np.argmax(likelihood))])

    def _cross_validated(self, F: Floats, candidates: Floats) -> float:
        """Return the candidate with the highest likelihood in 5-fold cross-validation."""
        require(len(F) >= FOLDS, f"Cross-validation needs at least {FOLDS} training samples.")
        fold = check_random_state(self.random_state).permutation(len(F)) % FOLDS
        total = np.zeros(len(candidates))
        for left_out in range(FOLDS):
            others = F[fold != left_out]
            for rows in batches(F[fold == left_out], BATCH):
                squared = euclidean_distances(rows, others, squared=True)
                for position, h in enumerate(candidates):
                    normaliser = len(rows) * (np.log(len(others)) + F.shape[1] * np.log(h))
                    log_sum = -self._minus_log_density(squared, h)
                    total[position] += log_sum.sum() - normaliser
        return float(candidates[int(np.argmax(total))])

    def _score(self, F: Floats) -> Floats:
        return self._minus_log_density(self._squared_distances(F), self.bandwidth_)

    def _head(self) -> nn.Module:
        from insphere.detectors.shallow.scoring_modules import KernelDensity

        return KernelDensity(self.training_, self.bandwidth_)

    def _as_new(self, X: Array) -> Floats:
        parts = [
            self._minus_log_density(self._squared_distances(self.training_[i], i), self.bandwidth_)
            for i in batches(np.arange(len(self.training_)), BATCH)
        ]
        return self._scores_of_kept(X, np.concatenate(parts))

    @of_pixels
    def anomaly_map(self, X: Any) -> NDArray[np.float32]:
        """Return heat maps: the squared distance of each pixel from a mean of training images.

        The mean is weighted by the kernel, so that near images count most.

        Parameters
        ----------
        X : array, tensor, path or ImageSet
            Images of the same shape as the training images.

        Returns
        -------
        ndarray of float32, shape (n, H, W)
            0 or more; higher is more anomalous.
        """
        return self._pixel_distances(self._read_images(X))

    def _expected(self, F: Floats) -> Floats:
        weights = softmax(self._squared_distances(F) / (-2 * self.bandwidth_**2), axis=1)
        expected: Floats = weights @ self.training_
        return expected

    def _squared_distances(self, F: Floats, own: Array | None = None) -> Floats:
        """Return squared distances to the training rows; infinite to the row in `own`."""
        squared: Floats = euclidean_distances(F, self.training_, squared=True)
        if own is not None:
            squared[np.arange(len(F)), own] = np.inf
        return squared

    def _minus_log_density(self, squared: Floats, bandwidth: float) -> Floats:
        value: Floats = -logsumexp(squared / (-2 * bandwidth**2), axis=1)
        return value
