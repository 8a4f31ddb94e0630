"""Cracks: thin lines that wander."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from scipy.ndimage import gaussian_filter

from insphere.synthetic_anomalies.kind import Floats, SyntheticAnomaly, contrast_of
from insphere.synthetic_anomalies.regions import place, side_of


class Crack(SyntheticAnomaly):
    """A line of one to three pixels that changes its direction at random, with up to two branches.

    It is 10 to 60 % of the side long, darker (seldom brighter) than what it crosses by one to four
    standard deviations of the image, and its darkness varies along the way.
    """

    key: ClassVar[str] = "crack"
    summary: ClassVar[str] = "a thin line that wanders"

    def damage(
        self, image: Floats, strength: float, rng: np.random.Generator, other: Floats
    ) -> Floats:
        """See `SyntheticAnomaly.damage`; the strength scales the change of brightness."""
        shape, side = image.shape[:2], side_of(image.shape)
        depth = np.zeros(shape, dtype=np.float32)
        long = side * rng.uniform(0.1, 0.6)
        path, directions = wander(place(shape, rng), rng.uniform(0, 2 * np.pi), long, rng)
        trace(depth, path, rng)
        for _ in range(rng.integers(0, 3)):
            at = int(rng.integers(len(path)))
            turn = directions[at] + rng.choice([-1, 1]) * rng.uniform(0.4, 1.2)
            trace(depth, wander(path[at], turn, long * rng.uniform(0.2, 0.6), rng)[0], rng)
        width = max(0.35, side / 256 * np.exp(rng.uniform(np.log(0.4), np.log(1.6))))
        depth = gaussian_filter(depth, width)
        depth /= max(float(depth.max()), 1e-6)
        sign = -1 if rng.random() < 0.8 else 1
        amount = np.float32(sign * rng.uniform(1, 4) * contrast_of(image) * strength)
        out: Floats = image + amount * np.minimum(1.5 * depth, 1)[..., None]
        return out


def wander(
    start: tuple[float, float] | np.ndarray, angle: float, long: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return a random walk in steps of half a pixel: its places (n, 2), and its directions (n,)."""
    steps = max(2, round(2 * long))
    bends = rng.normal(0, rng.uniform(0.05, 0.25), steps)
    kinks = (rng.random(steps) < 0.03) * rng.normal(0, 0.7, steps)
    directions = angle + np.cumsum(bends - bends.mean() + kinks)
    moves = 0.5 * np.stack([np.sin(directions), np.cos(directions)], axis=1)
    return np.asarray(start) + np.cumsum(moves, axis=0), directions


def trace(depth: Floats, path: np.ndarray, rng: np.random.Generator) -> None:
    """Draw a path into a field, with a depth that varies along it and fades at its end."""
    n = len(path)
    knots = rng.uniform(0.3, 1.0, 6)
    along = np.interp(np.linspace(0, 5, n), np.arange(6), knots)
    along *= np.minimum(1, np.linspace(1, 0, n) * 4 + 0.1)
    at = path.astype(np.intp)
    inside = ((at >= 0) & (at < depth.shape)).all(axis=1) & (path >= 0).all(axis=1)
    np.maximum.at(depth, tuple(at[inside].T), along[inside].astype(np.float32))
