"""The distance to the mean image, in units of spread."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.detectors.base.checks import require
from insphere.detectors.base.estimator import batches
from insphere.detectors.base.method_card import MethodCard
from insphere.detectors.base.parameters import parameters
from insphere.detectors.shallow.vector_detector import (
    ALL_THAT_VARY,
    BATCH,
    FlatDetector,
    Floats,
    of_pixels,
)


@parameters
class MahalanobisDetector(FlatDetector):
    """Mahalanobis distance to the mean of the training images, within their principal components.

    Parameters
    ----------
    pca : float or "auto", default="auto"
        Share of the variance whose principal components are kept; the rest, where the covariance
        cannot be inverted reliably, is left out. "auto" is 0.95 for images; of tables, all are kept
        but those that do not vary.
    features
        A pretrained network in place of pixels; see `FlatDetector`.
    contamination, false_alarm_rate, calibration, random_state
        See `OneClassDetector`.
    """

    card = MethodCard(
        key="mahalanobis",
        title="Mahalanobis",
        family="shallow",
        summary="Mahalanobis distance to the mean image",
    )
    _stored = ("deviation_",)
    _table_share = ALL_THAT_VARY

    pca: float | str = "auto"

    def _learn(self, F: Floats) -> None:
        require(self.pca is not None, "The Mahalanobis distance needs a number for pca.")
        self.deviation_ = F.std(axis=0, ddof=1)

    def _score(self, F: Floats) -> Floats:
        distance: Floats = np.linalg.norm(F / self.deviation_, axis=1)
        return distance

    @of_pixels
    def anomaly_map(self, X: Any) -> NDArray[np.float32]:
        """Return how much each pixel adds to the squared distance.

        What a pixel adds is its deviation from the mean image times that which the covariance
        makes of all deviations; negative parts, where a pixel speaks for normal, are left out.

        Parameters
        ----------
        X : array, tensor, path or ImageSet
            Images like those trained on.

        Returns
        -------
        ndarray of float32, shape (n, H, W)
            0 or more; higher is more anomalous.
        """
        data = self._read_images(X)
        height, width, channels = data.shape[1:]
        parts = []
        for part in batches(data, BATCH):
            deviation = self._pixels(part) - self.mean_
            weighed = (deviation @ self.components_.T / self.deviation_**2) @ self.components_
            added = (deviation * weighed).reshape(-1, height, width, channels).sum(axis=3)
            parts.append(added.clip(min=0).astype(np.float32))
        joined: NDArray[np.float32] = np.concatenate(parts)
        return joined
