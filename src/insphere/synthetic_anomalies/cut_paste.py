"""Cut and paste: a piece of the image appears somewhere else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from insphere.synthetic_anomalies.kind import Floats, SyntheticAnomaly, blended
from insphere.synthetic_anomalies.regions import rectangle, side_of


class CutPaste(SyntheticAnomaly):
    """A patch of 2 to 15 % of the area, of an aspect from 0.3 to 3.3, is pasted elsewhere.

    Li et al. (2021), "CutPaste: self-supervised learning for anomaly detection and localization",
    section 2.3. The brightness of the patch varies by up to 10 %. Unlike there its edges are
    smoothed over one to three pixels, so that a sharp edge is not what a network learns.
    """

    key: ClassVar[str] = "cut-paste"
    summary: ClassVar[str] = "a patch of the image is pasted elsewhere"

    def damage(
        self, image: Floats, strength: float, rng: np.random.Generator, other: Floats
    ) -> Floats:
        """See `SyntheticAnomaly.damage`; the strength is the opacity of the patch."""
        height, width = image.shape[:2]
        area = rng.uniform(0.02, 0.15) * side_of(image.shape) ** 2
        aspect = np.exp(rng.uniform(np.log(0.3), np.log(3.3)))
        tall = min(max(np.sqrt(area / aspect), 2), 0.8 * height)
        wide = min(max(np.sqrt(area * aspect), 2), 0.8 * width)
        return pasted(image, (tall, wide), 0.0, strength, rng)


def pasted(
    image: Floats,
    sides: Sequence[float],
    angle: float,
    strength: float,
    rng: np.random.Generator,
    shift: float = 0.0,
) -> Floats:
    """Paste what lies under a rectangle at another place, with its brightness changed a little.

    Parameters
    ----------
    image : ndarray of float32, shape (H, W, C)
        The image. A rectangle that reaches beyond an edge continues at the opposite one.
    sides : (height, width)
        Of the rectangle in pixels.
    angle : float
        By which the rectangle is turned, in radians.
    strength : float
        Opacity.
    rng : numpy.random.Generator
        Draws place, source, brightness and softness.
    shift : float
        Added to the brightness of what is pasted, in grey levels.
    """
    size = np.array(image.shape[:2])
    reach = np.minimum(np.asarray(sides) / 2, size / 2.01)
    center = rng.uniform(reach, size - reach)
    move = np.rint(rng.uniform(0.2, 0.8, 2) * size).astype(int)
    moved = np.roll(image, (int(move[0]), int(move[1])), axis=(0, 1))
    moved = moved * np.float32(rng.uniform(0.9, 1.1)) + np.float32(shift)
    soft = float(rng.uniform(1, 3))
    opacity = rectangle(
        image.shape[:2], [float(at) for at in center], sides[::-1], angle, soft=soft
    )
    return blended(image, moved, np.float32(strength) * opacity)
