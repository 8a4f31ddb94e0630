"""Roughness: grain in one region."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from scipy.ndimage import gaussian_filter

from insphere.synthetic_anomalies.kind import Floats, SyntheticAnomaly, contrast_of
from insphere.synthetic_anomalies.regions import blotch, place, side_of


class Roughness(SyntheticAnomaly):
    """Noise with a grain of one to four pixels in a blotch of 4 to 20 % of the side in radius.

    Its standard deviation is one half to two of those of the image.
    """

    key: ClassVar[str] = "roughness"
    summary: ClassVar[str] = "grain in one region"

    def damage(
        self, image: Floats, strength: float, rng: np.random.Generator, other: Floats
    ) -> Floats:
        """See `SyntheticAnomaly.damage`; the strength scales the noise."""
        shape, side = image.shape[:2], side_of(image.shape)
        region = blotch(shape, place(shape, rng), side * rng.uniform(0.04, 0.2), rng, soft=0.4)
        noise = rng.standard_normal(shape, dtype=np.float32)
        noise = gaussian_filter(noise, rng.uniform(0.3, 2.0, 2))
        noise /= max(float(noise.std()), 1e-6)
        amount = np.float32(rng.uniform(0.5, 2) * contrast_of(image) * strength)
        out: Floats = image + amount * (region * noise)[..., None]
        return out
