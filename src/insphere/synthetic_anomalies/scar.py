"""Scars: a long thin piece of the image, turned and pasted elsewhere."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from insphere.synthetic_anomalies.cut_paste import pasted
from insphere.synthetic_anomalies.kind import Floats, SyntheticAnomaly, contrast_of, signed
from insphere.synthetic_anomalies.regions import side_of


class Scar(SyntheticAnomaly):
    """A strip of 1 to 5 % of the side in width and 8 to 35 % in length is pasted, turned.

    Li et al. (2021), "CutPaste", section 2.3 (CutPaste-Scar). The brightness of the strip is
    shifted by up to 1.5 standard deviations of the image, as the colour jitter does there.
    """

    key: ClassVar[str] = "scar"
    summary: ClassVar[str] = "a thin turned strip of the image is pasted elsewhere"

    def damage(
        self, image: Floats, strength: float, rng: np.random.Generator, other: Floats
    ) -> Floats:
        """See `SyntheticAnomaly.damage`; the strength is the opacity of the strip."""
        side = side_of(image.shape)
        thick = max(1.5, side * np.exp(rng.uniform(np.log(0.01), np.log(0.05))))
        long = max(3.0, side * rng.uniform(0.08, 0.35))
        angle = float(rng.uniform(0, np.pi))
        shift = signed(rng, 0.3, 1.5) * contrast_of(image)
        return pasted(image, (thick, long), angle, strength, rng, shift)
