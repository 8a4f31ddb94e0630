"""Folds: the image is distorted elastically in one region."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from scipy.ndimage import map_coordinates

from insphere.synthetic_anomalies.kind import Floats, SyntheticAnomaly
from insphere.synthetic_anomalies.regions import blotch, gradient_noise, place, side_of


class Fold(SyntheticAnomaly):
    """Pixels of one blotch move by up to 6 % of the side, in directions that vary smoothly.

    The displacement is gradient noise, as in elastic deformation (Simard et al. 2003), and falls
    to 0 at the edge of the blotch, so that there is no seam.
    """

    key: ClassVar[str] = "fold"
    summary: ClassVar[str] = "the image is distorted in one region"

    def damage(
        self, image: Floats, strength: float, rng: np.random.Generator, other: Floats
    ) -> Floats:
        """See `SyntheticAnomaly.damage`; the strength scales the distance that pixels move."""
        shape, side = image.shape[:2], side_of(image.shape)
        radius = side * rng.uniform(0.08, 0.25)
        region = blotch(shape, place(shape, rng), radius, rng, soft=1.0)
        cells = [max(1, round(n / radius)) for n in shape]
        field = np.stack([gradient_noise(shape, cells, rng) for _ in range(2)])
        pull = rng.normal(0, 0.5, 2).astype(np.float32)[:, None, None]
        reach = side * rng.uniform(0.03, 0.06) * strength
        moves = np.float32(reach) * region * (2 * field + pull)
        inside = np.nonzero(region.max(axis=1) > 0)[0], np.nonzero(region.max(axis=0) > 0)[0]
        if min(map(len, inside)) == 0:
            return image
        rows, columns = (slice(int(i[0]), int(i[-1]) + 1) for i in inside)
        grid = np.mgrid[rows, columns].astype(np.float32) + moves[:, rows, columns]
        out = image.copy()
        for channel in range(image.shape[2]):
            out[rows, columns, channel] = map_coordinates(
                image[..., channel], grid, order=1, mode="nearest"
            )
        return out
