"""What detectors without a network share: flattened input, principal components, plain state.

Each fits with scikit-learn and keeps nothing but plain arrays; scores are computed from those
arrays alone, so a detector that was saved and loaded gives the same scores bit for bit. Images are
flattened, and uint8 pixels divided by 255. Those of the paper's comparison can also normalise the
contrast as the paper does, which its fixed grids of kernel widths suppose.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from insphere.detectors.base.estimator import Array, OneClassDetector, batches
from insphere.detectors.shallow.principal_components import principal_components
from insphere.errors import DataError, SpecError

Floats = NDArray[np.float64]

BATCH = 1024


class FlatDetector(OneClassDetector):
    """Flattening, principal components, batches and state; see the concrete detectors."""

    pca: float | None
    preprocess: str | None = None
    _stored: ClassVar[tuple[str, ...]]

    def _learn(self, F: Floats) -> None:
        """Set the attributes named in `_stored` from features of shape (n, d)."""
        raise NotImplementedError

    def _score(self, F: Floats) -> Floats:
        """Score features of shape (n, d)."""
        raise NotImplementedError

    def _expected(self, F: Floats) -> Floats:
        """Return the normal features that each row of features (n, d) is compared with."""
        raise NotImplementedError

    def _comparable(self, F: Floats) -> Floats:
        """Return flattened pixels on the scale on which `_expected` compares them."""
        return F

    def _fit(self, X: Array) -> None:
        require(
            self.preprocess in (None, "gcn"),
            f'preprocess is "gcn" or None, but got {self.preprocess!r}.',
        )
        F = _flat(X)
        if self.preprocess == "gcn":
            F = _contrast_normalised(F)
            self.low_, self.high_ = float(F.min()), float(F.max())
            F = self._scaled_to_extremes(F)
        if (F[0] == F).all():
            raise DataError(f"All {len(F)} training samples are identical: nothing to learn from.")
        if self.pca is None:
            self.mean_, self.components_ = np.zeros(F.shape[1]), np.empty((0, F.shape[1]))
        else:
            require(
                is_real(self.pca) and 0 < self.pca < 1,
                f"pca is the share of variance to keep, between 0 and 1, or None, "
                f"but got {self.pca!r}.",
            )
            self.mean_, self.components_ = principal_components(F, float(self.pca))
        self._learn(self._features(F))
        for name in self._names():
            # One memory layout before saving and after loading: products are then the same bits.
            if isinstance(value := getattr(self, name), np.ndarray):
                setattr(self, name, np.ascontiguousarray(value))

    def _anomaly_score(self, X: Array) -> Floats:
        parts = [self._score(self._features(self._pixels(part))) for part in batches(X, BATCH)]
        return np.concatenate(parts) if parts else np.empty(0)

    def _pixel_distances(self, X: Any) -> NDArray[np.float32]:
        """Return the squared distance of each pixel from what is expected in its place.

        Expected is the normal image that the detector compares an image with; see each detector.
        """
        data = self._read_images(X)
        height, width, channels = data.shape[1:]
        parts = []
        for part in batches(data, BATCH):
            pixels = self._pixels(part)
            expected = self._expected(self._features(pixels))
            if self.pca is not None:
                expected = expected @ self.components_ + self.mean_
            squared = (self._comparable(pixels) - expected) ** 2
            maps = squared.reshape(-1, height, width, channels).sum(axis=3)
            parts.append(maps.astype(np.float32))
        joined: NDArray[np.float32] = np.concatenate(parts)
        return joined

    def _pixels(self, X: Array) -> Floats:
        F = _flat(X)
        return F if self.preprocess is None else self._scaled_to_extremes(_contrast_normalised(F))

    def _scaled_to_extremes(self, F: Floats) -> Floats:
        width = self.high_ - self.low_
        return (F - self.low_) / (width if width > 0 else 1.0)

    def _features(self, F: Floats) -> Floats:
        if self.pca is None:
            return F
        projected: Floats = (F - self.mean_) @ self.components_.T
        return projected

    def _state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        return {name: np.asarray(getattr(self, name)) for name in self._names()}, {}

    def _set_state(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        for name in self._names():
            value = arrays[name]
            setattr(self, name, value if value.ndim else value.item())

    def _names(self) -> tuple[str, ...]:
        extremes = () if self.preprocess is None else ("low_", "high_")
        return ("mean_", "components_", *extremes, *self._stored)


def _contrast_normalised(F: Floats) -> Floats:
    """Subtract each row's mean and divide by its mean absolute value, as Ruff et al. (2018) do."""
    F = F - F.mean(axis=1, keepdims=True)
    contrast = np.abs(F).mean(axis=1, keepdims=True)
    normalised: Floats = F / np.where(contrast > 1e-6, contrast, 1.0)
    return normalised


def _flat(X: Array) -> Floats:
    flat: Floats = X.reshape(len(X), -1).astype(np.float64)
    return flat / 255 if X.dtype == np.uint8 else flat


def is_real(value: object) -> bool:
    """Tell whether `value` is a number, bool not counting as one."""
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def require(condition: bool, message: str) -> None:
    """Raise SpecError with `message` unless `condition` holds."""
    if not condition:
        raise SpecError(message)


def require_count(name: str, value: object, least: int) -> None:
    """Raise SpecError unless `value` is a whole number of at least `least`."""
    require(
        isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= least,
        f"{name} is a whole number from {least} on, but got {value!r}.",
    )
