"""Spots: one to four dark or bright blotches."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from insphere.synthetic_anomalies.kind import Floats, SyntheticAnomaly, contrast_of, signed
from insphere.synthetic_anomalies.regions import blotch, place, side_of


class Spots(SyntheticAnomaly):
    """Blotches with a radius of 0.6 to 6 % of the side: holes, stains, grains.

    They are darker or brighter than what they cover, by one to four standard deviations of the
    image.
    """

    key: ClassVar[str] = "spots"
    summary: ClassVar[str] = "dark or bright blotches"

    def damage(
        self, image: Floats, strength: float, rng: np.random.Generator, other: Floats
    ) -> Floats:
        """See `SyntheticAnomaly.damage`; the strength scales the change of brightness."""
        shape, out = image.shape[:2], image.copy()
        tint = np.asarray(rng.uniform(0.7, 1.0, image.shape[2]), dtype=np.float32)
        sign = signed(rng, 1, 1)
        for _ in range(rng.integers(1, 5)):
            share = np.exp(rng.uniform(np.log(0.006), np.log(0.06)))
            radius = max(0.8, float(share * side_of(shape)))
            region = blotch(shape, place(shape, rng), radius, rng, soft=float(rng.uniform(0.2, 1)))
            amount = sign * rng.uniform(1, 4) * contrast_of(image) * strength
            out += region[..., None] * (np.float32(amount) * tint)
        return out
