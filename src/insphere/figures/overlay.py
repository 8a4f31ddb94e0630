"""A heat map over its image, in colours that change at the threshold."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_rgb
from numpy.typing import ArrayLike, NDArray

from insphere.errors import DataError
from insphere.figures import style

YELLOW = "#f0e442"  # Okabe–Ito
_FAINT, _STRONG = 0.35, 0.85


def heat_overlay(
    image: NDArray[np.uint8], heat: ArrayLike, threshold: float, top: float
) -> NDArray[np.uint8]:
    """Lay a heat map over an image.

    Below the threshold the image is tinted blue, the stronger the higher the value. At the
    threshold the colour changes to yellow, and then goes on to red. The same value has the same
    colour on every image.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, C)
        C is 1 (grey) or 3 (RGB).
    heat : array-like of float, shape (H, W)
        0 or more.
    threshold, top : float
        Where the colour jumps and where it ends; see `insphere.explain.HeatScale`.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)

    Raises
    ------
    DataError
        If the map does not fit the image, or the scale is upside down.
    """
    values = np.asarray(heat, dtype=np.float64)
    if values.shape != image.shape[:2]:
        raise DataError(f"A map of {values.shape} does not fit an image of {image.shape[:2]}.")
    if not 0 <= threshold < top:
        raise DataError(f"The colour scale must rise from 0 over {threshold:g} to {top:g}.")
    grey = image.astype(np.float64).mean(axis=2, keepdims=True) / 255
    ground = np.repeat(0.15 + 0.7 * grey, 3, axis=2)
    hot = np.clip((values - threshold) / (top - threshold), 0, 1)[..., None]
    below = np.clip(values / threshold, 0, 1)[..., None] if threshold > 0 else 0 * hot
    beyond = (values > threshold)[..., None]
    yellow, red = np.array(to_rgb(YELLOW)), np.array(to_rgb(style.ANOMALOUS))
    blue = np.array(to_rgb(style.NORMAL))
    colour = np.where(beyond, (1 - hot) * yellow + hot * red, blue)
    alpha = np.where(beyond, _STRONG, _FAINT * below)
    mixed = (1 - alpha) * ground + alpha * colour
    over: NDArray[np.uint8] = np.rint(255 * mixed).astype(np.uint8)
    return over


def heat_key(threshold: float, top: float, width: int = 160) -> NDArray[np.uint8]:
    """Return a strip of all colours from 0 to `top`, shape (10, width, 3), on grey ground."""
    ramp = np.tile(np.linspace(0, top, width), (10, 1))
    return heat_overlay(np.full((10, width, 1), 128, dtype=np.uint8), ramp, threshold, top)
