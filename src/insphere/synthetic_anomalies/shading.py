"""Uneven shading: one region is brighter, darker, or of another contrast."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from insphere.synthetic_anomalies.kind import Floats, SyntheticAnomaly, contrast_of, signed
from insphere.synthetic_anomalies.regions import (
    blotch,
    gradient_noise,
    place,
    rectangle,
    side_of,
    smooth_step,
)


class Shading(SyntheticAnomaly):
    """A large region with soft edges changes by one half to two standard deviations of the image.

    The region is a blotch, a band, or where gradient noise is high. Contrast within the region
    changes by up to a half as well. Stains, wear and uneven grinding look like this.
    """

    key: ClassVar[str] = "shading"
    summary: ClassVar[str] = "one region is brighter, darker, or of another contrast"

    def damage(
        self, image: Floats, strength: float, rng: np.random.Generator, other: Floats
    ) -> Floats:
        """See `SyntheticAnomaly.damage`; the strength scales the changes."""
        shape, side = image.shape[:2], side_of(image.shape)
        form = rng.integers(3)
        if form == 0:
            radius = side * rng.uniform(0.08, 0.3)
            region = blotch(shape, place(shape, rng), radius, rng, soft=float(rng.uniform(0.3, 1)))
        elif form == 1:
            sides = side * rng.uniform(0.3, 1.2), side * rng.uniform(0.04, 0.2)
            soft = float(rng.uniform(0.2, 1) * sides[1])
            region = rectangle(shape, place(shape, rng), sides, rng.uniform(0, np.pi), soft=soft)
        else:
            noise = gradient_noise(shape, [int(n) for n in rng.integers(1, 5, 2)], rng)
            high = float(np.quantile(noise, rng.uniform(0.7, 0.9)))
            region = smooth_step(noise, high, high + float(rng.uniform(0.1, 0.4)))
        shift = signed(rng, 0.5, 2) * contrast_of(image)
        gain = signed(rng, 0, 0.5)
        region = region[..., None]
        mean = (region * image).sum(axis=(0, 1)) / max(float(region.sum()), 1e-6)
        change = np.float32(shift) + np.float32(gain) * (image - mean)
        out: Floats = image + np.float32(strength) * region * change
        return out
