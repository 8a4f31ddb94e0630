"""Blurred patches: the texture is lost in one region."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from scipy.ndimage import gaussian_filter

from insphere.synthetic_anomalies.kind import Floats, SyntheticAnomaly, blended
from insphere.synthetic_anomalies.regions import blotch, place, side_of


class BlurPatch(SyntheticAnomaly):
    """A blotch of 6 to 25 % of the side in radius is smoothed by a Gaussian of 1 to 4 % of it."""

    key: ClassVar[str] = "blur-patch"
    summary: ClassVar[str] = "one region is out of focus"

    def damage(
        self, image: Floats, strength: float, rng: np.random.Generator, other: Floats
    ) -> Floats:
        """See `SyntheticAnomaly.damage`; the strength is the share of the blurred image."""
        shape, side = image.shape[:2], side_of(image.shape)
        region = blotch(shape, place(shape, rng), side * rng.uniform(0.06, 0.25), rng, soft=0.5)
        sigma = max(0.8, side * float(rng.uniform(0.01, 0.04)))
        smooth = gaussian_filter(image, (sigma, sigma, 0), mode="nearest", truncate=3.0)
        return blended(image, smooth, np.float32(strength) * region)
