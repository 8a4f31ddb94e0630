"""Anomaly maps of scored images: those to show, and how well they agree with masks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.experiments.scored import Scored
from insphere.report import shown_images
from insphere.scoring.pixels import PixelEvaluation, evaluate_maps


def has_maps(scored: Scored) -> bool:
    """Whether the detector says where in an image the anomaly is."""
    return hasattr(scored.detector, "anomaly_map")


def shown_maps(
    scored: Scored,
) -> tuple[dict[int, NDArray[Any]], tuple[float, float] | None]:
    """Return the maps of the images that a report shows, by index, and their common limits."""
    if not has_maps(scored):
        return {}, None
    detector: Any = scored.detector
    index = shown_images(scored.scores, scored.truth)
    maps = detector.anomaly_map(scored.images[index])
    low, high = detector.map_range_
    return dict(zip(index.tolist(), maps, strict=True)), (low, high)


def evaluate_pixels(scored: Scored) -> PixelEvaluation | None:
    """Compare maps with the masks of the source; None if there are none, or no defect in them."""
    masks = scored.data.masks
    if masks is None or not has_maps(scored):
        return None
    truth = np.asarray(masks[scored.index]) > 0
    if not truth.any():
        return None
    detector: Any = scored.detector
    return evaluate_maps(truth, detector.anomaly_map(scored.images))
