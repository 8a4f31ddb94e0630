"""Comparison of heat maps with masks of defects."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.data.letterbox import content_size
from insphere.scoring.pixels import PixelEvaluation, evaluate_maps
from insphere.workflows.score_source import Scored


def has_maps(scored: Scored) -> bool:
    """Whether the detector has heat maps of its own."""
    return hasattr(scored.detector, "anomaly_map")


def evaluate_pixels(scored: Scored) -> PixelEvaluation | None:
    """Compare heat maps with the masks of the source; None without masks or without defects."""
    masks = scored.data.masks
    if masks is None or not has_maps(scored):
        return None
    truth = np.asarray(masks[scored.index]) > 0
    if not truth.any():
        return None
    detector: Any = scored.detector
    return evaluate_maps(truth, detector.anomaly_map(scored.images), valid=lying(scored.images))


def lying(images: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which pixels of images, (N, H, W), are of the photographs that lie on a canvas."""
    found = np.zeros(images.shape[:3], bool)
    for pixels, image in zip(found, images, strict=True):
        height, width = content_size(image)
        pixels[:height, :width] = True
    return found
