"""The Mahalanobis distance to the mean image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insphere.detectors.base.checks import require
from insphere.detectors.base.estimator import Array, batches
from insphere.detectors.base.method_card import MethodCard
from insphere.detectors.base.parameters import parameters
from insphere.detectors.shallow.vector_detector import (
    ALL_THAT_VARY,
    BATCH,
    FlatDetector,
    Floats,
    of_pixels,
)

if TYPE_CHECKING:
    from torch import nn


@parameters
class MahalanobisDetector(FlatDetector):
    """Mahalanobis distance to the mean of the training images, within their principal components.

    Parameters
    ----------
    pca : float or "auto", default="auto"
        Share of the variance whose principal components are kept. The others are left out, because
        the covariance cannot be inverted reliably in them. "auto" is 0.95 for images; for tables,
        all components that vary are kept.
    features
        Use a pretrained network instead of pixels; see `FlatDetector`.
    contamination, false_alarm_rate, calibration, random_state
        See `OneClassDetector`.
    """

    card = MethodCard(
        key="mahalanobis",
        title="Mahalanobis",
        family="shallow",
        summary="Mahalanobis distance to the mean image, on raw pixels",
        takes_classes=True,
    )
    _takes = ("labels",)
    _stored = ("deviation_",)
    _table_share = ALL_THAT_VARY

    pca: float | str = "auto"

    def _learn(self, F: Floats) -> None:
        require(self.pca is not None, "The Mahalanobis distance needs a number for pca.")
        self.deviation_ = F.std(axis=0, ddof=1)

    def _score(self, F: Floats) -> Floats:
        distance: Floats = np.linalg.norm(F / self.deviation_, axis=1)
        return distance

    def _head(self) -> nn.Module:
        from insphere.detectors.shallow.scoring_modules import ScaledLength

        return ScaledLength(self.deviation_)

    def _map_module(self) -> nn.Module | None:
        from torch import nn

        from insphere.detectors.shallow.scoring_modules import MahalanobisMaps

        if self.members_ or self.features is not None or self.image_shape_ is None:
            return None
        projection = self._projection()
        if projection is None:
            return None
        vectors = nn.Sequential(*self._vector_modules())
        return MahalanobisMaps(vectors, projection, self.deviation_, self.image_shape_)

    @of_pixels
    def anomaly_map(self, X: Any) -> NDArray[np.float32]:
        """Return heat maps: the contribution of each pixel to the squared distance.

        The contribution is the deviation of a pixel from the mean image, times the same pixel of
        all deviations multiplied by the inverse covariance. Negative ones are set to zero.

        Parameters
        ----------
        X : array, tensor, path or ImageSet
            Images of the same shape as the training images.

        Returns
        -------
        ndarray of float32, shape (n, H, W)
            0 or more; higher is more anomalous.
        """
        return self._maps_of_nearest(X) if self.members_ else self._own_map(self._read_images(X))

    def _own_map(self, data: Array) -> NDArray[np.float32]:
        height, width, channels = data.shape[1:]
        parts = []
        for part in batches(data, BATCH):
            deviation = self._pixels(part) - self.mean_
            weighed = (deviation @ self.components_.T / self.deviation_**2) @ self.components_
            added = (deviation * weighed).reshape(-1, height, width, channels).sum(axis=3)
            parts.append(added.clip(min=0).astype(np.float32))
        joined: NDArray[np.float32] = np.concatenate(parts)
        return joined
