"""Foreign texture: a piece of another image shows through a region of noise."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from insphere.synthetic_anomalies.kind import Floats, SyntheticAnomaly, blended
from insphere.synthetic_anomalies.regions import gradient_noise, place, rectangle, smooth_step


class ForeignTexture(SyntheticAnomaly):
    """Another image, turned, enlarged and changed in contrast, is blended in.

    The region is where Perlin noise is high, within a rectangle. Zavrtanik et al. (2021), "DRAEM: a
    discriminatively trained reconstruction embedding for surface anomaly detection", section 3.3.
    There the textures are those of a public collection; here they are other images of the same
    folder, or those that are given.
    """

    key: ClassVar[str] = "foreign-texture"
    summary: ClassVar[str] = "texture of another image shows through a region of noise"

    def damage(
        self, image: Floats, strength: float, rng: np.random.Generator, other: Floats
    ) -> Floats:
        """See `SyntheticAnomaly.damage`; the strength is the opacity, at most 0.9."""
        shape = image.shape[:2]
        cells = np.minimum(2 ** rng.integers(1, 6, 2), [max(1, side // 3) for side in shape])
        noise = gradient_noise(shape, [int(n) for n in cells], rng)
        tall, wide = (float(rng.uniform(0.15, 0.6)) * side for side in shape)
        window = rectangle(shape, place(shape, rng), (wide, tall), rng.uniform(0, np.pi), soft=2)
        inside = noise[window > 0.5]
        high = float(np.quantile(inside, rng.uniform(0.3, 0.7))) if inside.size else 0.1
        opacity = window * smooth_step(noise, high, high + 0.15)
        texture = textured(other, shape, rng)
        return blended(image, texture, 0.9 * np.float32(strength) * opacity)


def textured(other: Floats, shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """Return an image of another size, mirrored, transposed and changed in contrast at random."""
    flips = rng.random(3) < 0.5
    turned = other.transpose(1, 0, 2) if flips[0] else other
    turned = turned[::-1] if flips[1] else turned
    turned = turned[:, ::-1] if flips[2] else turned
    zoom = np.exp(rng.uniform(np.log(0.5), np.log(2.0)))
    start = rng.uniform(0, turned.shape[:2])
    rows = ((np.arange(shape[0]) * zoom + start[0]) % turned.shape[0]).astype(np.intp)
    columns = ((np.arange(shape[1]) * zoom + start[1]) % turned.shape[1]).astype(np.intp)
    cut = turned[np.ix_(rows, columns)]
    negative = -1.0 if rng.random() < 0.3 else 1.0
    gain, mean = np.float32(negative * rng.uniform(0.6, 1.6)), cut.mean()
    out: Floats = (cut - mean) * gain + np.float32(mean + rng.uniform(-30, 30))
    return out
