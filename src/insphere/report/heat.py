"""Anomaly maps laid over their images, all on one scale."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray

OPAQUE = 0.7  # how much of the image full colour covers
COLOURS = "YlOrRd"


def overlay(
    image: NDArray[np.uint8], heat: NDArray[Any], limits: tuple[float, float]
) -> NDArray[np.uint8]:
    """Lay a map over a grey version of its image.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, C)
        Pixels; C is 1 (grey) or 3 (RGB).
    heat : ndarray of float, shape (H, W)
        The map.
    limits : (float, float)
        Where colour starts and where it is full: the same for every image, so that a normal one
        stays pale.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
    """
    low, high = limits
    strength = np.clip((heat - low) / (high - low), 0, 1)[..., None]
    grey = image.astype(np.float64).mean(axis=2, keepdims=True)
    colour = 255 * matplotlib.colormaps[COLOURS](0.35 + 0.65 * strength[..., 0])[..., :3]
    cover = OPAQUE * np.minimum(1, 2 * strength)
    mixed = grey * (1 - cover) + colour * cover
    pixels: NDArray[np.uint8] = mixed.round().astype(np.uint8)
    return pixels
