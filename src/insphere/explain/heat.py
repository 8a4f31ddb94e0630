"""Heat maps for every detector, on one colour scale for all images.

If a detector has a map of its own, ``anomaly_map``, that one is used: the reconstruction error of
an autoencoder, distances of places or patches, the distance of each pixel from the nearest normal
images. Otherwise the map is computed from outside: by gradients if the detector is a network, or
by covering parts of the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insphere.errors import DataError, SpecError

if TYPE_CHECKING:
    from insphere.detectors.base.estimator import OneClassDetector

Maps = NDArray[np.float32]

METHODS = {
    "own": "the detector's own map",
    "gradient": "gradient × input",
    "integrated-gradients": "integrated gradients",
    "occlusion": "occlusion",
}
"""Ways to make a map, and their names in sentences."""


def heat_method(detector: OneClassDetector) -> str:
    """Return the method that `heat_maps` uses by default.

    Its own map; else integrated gradients, which are the most faithful for Deep SVDD, or gradient ×
    input where Captum is not installed; else occlusion.
    """
    if hasattr(detector, "anomaly_map"):
        return "own"
    if not detector.has_gradients or detector.uses_pretrained:
        return "occlusion"
    return "gradient" if find_spec("captum") is None else "integrated-gradients"


def heat_maps(
    detector: OneClassDetector,
    X: Any,
    method: str = "auto",
    *,
    reference: Any = None,
) -> Maps:
    """Return how much each pixel adds to the anomaly score.

    Parameters
    ----------
    detector : OneClassDetector
        Fitted on images.
    X : array, tensor, path or ImageSet
        Images like those trained on.
    method : {"auto", "own", "gradient", "integrated-gradients", "occlusion"}, default="auto"
        See `METHODS`; "auto" is `heat_method`. The last two need the extra ``explain``.
    reference : array, tensor, path or ImageSet, optional
        Images whose mean stands for "nothing to see" in integrated gradients and occlusion; by
        default the images themselves.

    Returns
    -------
    ndarray of float32, shape (N, H, W)
        0 or more. The scale depends on detector and method; see `heat_scale`.

    Raises
    ------
    SpecError
        If the method is unknown or does not fit the detector.
    DataError
        If the detector was fitted on a table, or the images do not fit it.
    MissingExtraError
        If a package is missing.
    """
    if method not in ("auto", *METHODS):
        raise SpecError(f"Unknown heat map {method!r}; use one of auto, {', '.join(METHODS)}.")
    data = detector._read_images(X)
    if method == "auto":
        method = heat_method(detector)
    if method == "own":
        if not hasattr(detector, "anomaly_map"):
            raise SpecError(
                f"{type(detector).__name__} has no map of its own; use gradient or occlusion."
            )
        own: Maps = np.asarray(detector.anomaly_map(X), dtype=np.float32)
        return own
    from insphere.explain import attribution

    if method == "gradient":
        return attribution.gradient_times_input(detector, data)
    base = data if reference is None else detector._read_images(reference)
    mean = attribution.as_floats(base).mean(axis=0)
    if method == "integrated-gradients":
        return attribution.integrated_gradients(detector, data, mean)
    return attribution.occlusion(detector, data, mean)


@dataclass(frozen=True)
class HeatScale:
    """One colour scale for all images.

    Attributes
    ----------
    threshold : float
        Where the colour changes: images that count as normal rarely exceed it anywhere.
    top : float
        Where the colours end; above `threshold`.
    rate : float
        Share of the normal images that exceed the threshold somewhere.
    """

    threshold: float
    top: float
    rate: float


def heat_scale(normal_maps: ArrayLike, maps: ArrayLike, rate: float = 0.05) -> HeatScale:
    """Set the threshold and the end of the colour scale.

    Parameters
    ----------
    normal_maps : array-like, shape (N, H, W)
        Maps of images that count as normal.
    maps : array-like, shape (M, H, W)
        All maps that will be shown.
    rate : float, default=0.05
        Share of the normal images that may exceed the threshold somewhere, in (0, 1).

    Raises
    ------
    DataError
        If there are no normal maps.
    """
    normal = np.asarray(normal_maps, dtype=np.float64)
    shown = np.asarray(maps, dtype=np.float64)
    if normal.ndim != 3 or not len(normal):
        raise DataError("A colour scale needs the heat maps of at least one normal image.")
    highest = normal.max(axis=(1, 2))
    threshold = float(np.quantile(highest, 1 - rate, method="higher"))
    peaks = np.append(shown.max(axis=(1, 2)) if len(shown) else [], highest)
    top = max(float(np.quantile(peaks, 0.99)), 1.25 * threshold, threshold + 1e-12)
    return HeatScale(threshold, top, rate)
