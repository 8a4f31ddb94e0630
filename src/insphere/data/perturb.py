"""Synthetic damage of images: ten kinds at five strengths, with masks of the damage.

It is for measuring detectors and heat maps, not for training. The same images, kind, strength and
seed give the same result, and the result for the first images does not depend on later ones. Whole
batches are processed at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, rotate

from insphere.errors import DataError, SpecError

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]
Masks = NDArray[np.bool_]

STRENGTHS = (1, 2, 3, 4, 5)
_WORK = 2**22  # pixels of a chunk, times what one stroke needs


@dataclass(frozen=True, eq=False)
class Damaged:
    """Damaged images with masks of the damage.

    Attributes
    ----------
    images : ndarray of uint8, shape (N, H, W, C)
        The damaged images.
    masks : ndarray of bool, shape (N, H, W)
        Damaged pixels; all of them for kinds that change the whole image.
    kind : str
        Kind of the damage.
    strength : int
        1 (faint) to 5 (gross).
    """

    images: Images
    masks: Masks
    kind: str
    strength: int


class _Draws:
    """A random generator for each purpose, so that images do not depend on later ones.

    The draws are the same at every strength, so stronger damage is at the same place.
    """

    def __init__(self, seed: int, kind: str) -> None:
        self._root = (seed, KINDS.index(kind))
        self._streams: dict[str, np.random.Generator] = {}

    def _stream(self, purpose: str) -> np.random.Generator:
        if purpose not in self._streams:
            key = (*self._root, int.from_bytes(purpose.encode(), "little") % 2**32)
            self._streams[purpose] = np.random.default_rng(key)
        return self._streams[purpose]

    def uniform(self, purpose: str, low: float, high: float, *shape: int) -> Floats:
        values = self._stream(purpose).random(shape, dtype=np.float32)
        return low + (high - low) * values

    def normal(self, purpose: str, *shape: int) -> Floats:
        return self._stream(purpose).standard_normal(shape, dtype=np.float32)


def perturb(images: NDArray[Any], kind: str, strength: int = 3, *, seed: int = 0) -> Damaged:
    """Damage images synthetically.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, H, W, C)
        Images with 1 (grey) or 3 (RGB) channels; they are not changed.
    kind : str
        One of `KINDS`; those in `LOCAL` damage a part of the image only.
    strength : int, default=3
        1 to 5.
    seed : int, default=0
        The same seed gives the same damage.

    Returns
    -------
    Damaged

    Raises
    ------
    SpecError
        If there is no such kind or strength.
    DataError
        If the images are not uint8 of shape N×H×W×C with 1 or 3 channels.
    """
    if kind not in KINDS:
        raise SpecError(f"Unknown damage {kind!r}; use one of {', '.join(KINDS)}.")
    if isinstance(strength, bool) or strength not in STRENGTHS:
        raise SpecError(f"The strength of damage is 1, 2, 3, 4 or 5, but got {strength!r}.")
    data = np.asarray(images)
    if data.dtype != np.uint8 or data.ndim != 4 or data.shape[3] not in (1, 3):
        raise DataError(
            "Damage is done to uint8 images of shape N×H×W×C with 1 or 3 channels, but got "
            f"{data.dtype} of shape {data.shape}."
        )
    draws, damage = _Draws(seed, kind), _DAMAGES[kind]
    changed = np.empty_like(data)
    masks = np.zeros(data.shape[:3], dtype=bool)
    height, width = data.shape[1:3]
    chunk = max(1, _WORK // (height * width * 32))
    for start in range(0, len(data), chunk):
        part = slice(start, start + chunk)
        values, masks[part] = damage(data[part].astype(np.float32), int(strength), draws)
        changed[part] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return Damaged(changed, masks, kind, int(strength))


# ---------------------------------------------------------------------- damage to a part


def _stickers(x: Floats, strength: int, draws: _Draws) -> tuple[Floats, Masks]:
    """Two rotated rectangles of one colour each."""
    side = (0.1, 0.15, 0.2, 0.26, 0.32)[strength - 1]
    masks = np.zeros(x.shape[:3], dtype=bool)
    rows, columns = _grid(x)
    for number in range(2):
        center = draws.uniform(f"place{number}", 0.2, 0.8, len(x), 2)
        angle = draws.uniform(f"angle{number}", 0, np.pi, len(x), 1, 1)
        size = side * draws.uniform(f"size{number}", 0.75, 1.25, len(x), 2) * min(x.shape[1:3])
        dy = rows - center[:, 0, None, None] * x.shape[1]
        dx = columns - center[:, 1, None, None] * x.shape[2]
        along = np.cos(angle) * dx + np.sin(angle) * dy
        across = -np.sin(angle) * dx + np.cos(angle) * dy
        one = (np.abs(along) <= size[:, 0, None, None] / 2) & (
            np.abs(across) <= size[:, 1, None, None] / 2
        )
        x = np.where(one[..., None], _contrasting(x, one, draws, number), x)
        masks |= one
    return x, masks


def _graffiti(x: Floats, strength: int, draws: _Draws) -> tuple[Floats, Masks]:
    """Curved strokes of a pen: quadratic Bézier curves."""
    strokes, thick = (1, 1, 2, 2, 3)[strength - 1], (0.03, 0.045, 0.045, 0.06, 0.07)[strength - 1]
    masks = np.zeros(x.shape[:3], dtype=bool)
    rows, columns = _grid(x)
    t = np.linspace(0, 1, 25, dtype=np.float32)
    weights = np.stack([(1 - t) ** 2, 2 * t * (1 - t), t**2])
    for number in range(strokes):
        points = draws.uniform(f"points{number}", 0.1, 0.9, len(x), 3, 2)
        curve = np.einsum("pt,npd->ntd", weights, points)
        nearest = np.full(x.shape[:3], np.inf, dtype=np.float32)
        for step in range(curve.shape[1]):
            dy = rows - curve[:, step, 0, None, None] * x.shape[1]
            dx = columns - curve[:, step, 1, None, None] * x.shape[2]
            np.minimum(nearest, dy**2 + dx**2, out=nearest)
        masks |= nearest <= max(0.75, thick * min(x.shape[1:3])) ** 2
    return np.where(masks[..., None], _contrasting(x, masks, draws), x), masks


def _occlusion(x: Floats, strength: int, draws: _Draws) -> tuple[Floats, Masks]:
    """One upright rectangle of even grey."""
    area = (0.04, 0.08, 0.14, 0.22, 0.32)[strength - 1]
    aspect = draws.uniform("aspect", 0.6, 1.6, len(x), 1, 1)
    height = np.clip(np.sqrt(area * aspect), 0, 1) * x.shape[1]
    width = np.clip(np.sqrt(area / aspect), 0, 1) * x.shape[2]
    top = draws.uniform("top", 0, 1, len(x), 1, 1) * (x.shape[1] - height)
    left = draws.uniform("left", 0, 1, len(x), 1, 1) * (x.shape[2] - width)
    rows, columns = _grid(x)
    masks = (rows >= top) & (rows < top + height) & (columns >= left) & (columns < left + width)
    grey = draws.uniform("grey", 0, 255, len(x), 1, 1, 1)
    away = np.abs(grey - _mean_inside(x, masks).mean(axis=3, keepdims=True)) < 60
    return np.where(masks[..., None], np.where(away, (grey + 128) % 256, grey), x), masks


def _dirt(x: Floats, strength: int, draws: _Draws) -> tuple[Floats, Masks]:
    """Brown blotches."""
    share = (0.04, 0.08, 0.14, 0.22, 0.32)[strength - 1]
    clouds = _clouds(x, draws, 0.07)
    edge = np.quantile(clouds, 1 - share, axis=(1, 2), keepdims=True)
    masks = clouds > edge
    brown = np.array([92, 70, 45], dtype=np.float32)[: x.shape[3]]
    mud = 0.85 * brown + 0.15 * x if x.shape[3] == 3 else 0.85 * 75 + 0.15 * x
    return np.where(masks[..., None], mud, x).astype(np.float32), masks


def _glare(x: Floats, strength: int, draws: _Draws) -> tuple[Floats, Masks]:
    """Bright round spots."""
    radius = (0.1, 0.14, 0.18, 0.23, 0.28)[strength - 1] * min(x.shape[1:3])
    center = draws.uniform("place", 0.2, 0.8, len(x), 2)
    rows, columns = _grid(x)
    dy = rows - center[:, 0, None, None] * x.shape[1]
    dx = columns - center[:, 1, None, None] * x.shape[2]
    light = 1.2 * np.exp(-(dy**2 + dx**2) / (2 * radius**2))
    light = np.minimum(light, 1)[..., None]
    return x + light * (255 - x), light[..., 0] > 0.2


# ---------------------------------------------------------------------- damage to everything


def _blur(x: Floats, strength: int, draws: _Draws) -> tuple[Floats, Masks]:
    sigma = (0.02, 0.03, 0.045, 0.06, 0.08)[strength - 1] * min(x.shape[1:3])
    return gaussian_filter(x, (0, sigma, sigma, 0), mode="nearest"), _everywhere(x)


def _noise(x: Floats, strength: int, draws: _Draws) -> tuple[Floats, Masks]:
    scale = (10, 20, 32, 46, 64)[strength - 1]
    return x + scale * draws.normal("noise", *x.shape), _everywhere(x)


def _fog(x: Floats, strength: int, draws: _Draws) -> tuple[Floats, Masks]:
    density = (0.2, 0.32, 0.45, 0.58, 0.7)[strength - 1]
    clouds = _clouds(x, draws, 0.2)
    clouds = (clouds - clouds.min((1, 2), keepdims=True)) / np.ptp(clouds, (1, 2), keepdims=True)
    alpha = (density * (0.7 + 0.6 * clouds)).clip(0, 1)[..., None]
    return (1 - alpha) * x + alpha * 220, _everywhere(x)


def _rotation(x: Floats, strength: int, draws: _Draws) -> tuple[Floats, Masks]:
    angle = (10, 20, 35, 55, 80)[strength - 1]
    to_left = draws.uniform("side", 0, 1, len(x)) < 0.5
    turned = np.empty_like(x)
    for side, sign in ((to_left, 1), (~to_left, -1)):
        turned[side] = rotate(
            x[side], sign * angle, axes=(1, 2), reshape=False, order=1, mode="nearest"
        )
    return turned, _everywhere(x)


def _colour_shift(x: Floats, strength: int, draws: _Draws) -> tuple[Floats, Masks]:
    """Shift each channel up or down; for grey images, the brightness."""
    amount = (15, 30, 45, 65, 90)[strength - 1]
    up = draws.uniform("direction", 0, 1, len(x), 1, 1, x.shape[3]) < 0.5
    return x + np.where(up, amount, -amount).astype(np.float32), _everywhere(x)


# ---------------------------------------------------------------------- what they share


def _grid(x: Floats) -> tuple[Floats, Floats]:
    """Return row and column of the middle of each pixel, shapes (H, 1) and (1, W)."""
    rows = np.arange(x.shape[1], dtype=np.float32)[:, None] + 0.5
    columns = np.arange(x.shape[2], dtype=np.float32)[None, :] + 0.5
    return rows, columns


def _everywhere(x: Floats) -> Masks:
    return np.ones(x.shape[:3], dtype=bool)


def _mean_inside(x: Floats, masks: Masks) -> Floats:
    """Return the mean colour under each mask, shape (n, 1, 1, C)."""
    count = np.maximum(masks.sum(axis=(1, 2)), 1)[:, None, None, None]
    total: Floats = (x * masks[..., None]).sum(axis=(1, 2), keepdims=True)
    mean: Floats = total / count
    return mean


def _contrasting(x: Floats, masks: Masks, draws: _Draws, number: int = 0) -> Floats:
    """Return a colour for each image that stands out where it is painted, shape (n, 1, 1, C)."""
    colour = draws.uniform(f"colour{number}", 0, 255, len(x), 1, 1, x.shape[3])
    under = _mean_inside(x, masks)
    return np.where(np.abs(colour - under) < 60, (colour + 128) % 256, colour)


def _clouds(x: Floats, draws: _Draws, share: float) -> Floats:
    """Return smooth random fields, shape (n, H, W); `share` of the side is their grain."""
    sigma = max(share * min(x.shape[1:3]), 0.5)
    clouds: Floats = gaussian_filter(
        draws.normal("clouds", *x.shape[:3]), (0, sigma, sigma), mode="reflect"
    )
    return clouds


_Damage = Callable[[Floats, int, _Draws], tuple[Floats, Masks]]
_DAMAGES: dict[str, _Damage] = {
    "stickers": _stickers,
    "graffiti": _graffiti,
    "occlusion": _occlusion,
    "dirt": _dirt,
    "glare": _glare,
    "blur": _blur,
    "noise": _noise,
    "fog": _fog,
    "rotation": _rotation,
    "colour-shift": _colour_shift,
}
KINDS = tuple(_DAMAGES)
"""Kinds of damage."""

LOCAL = ("stickers", "graffiti", "occlusion", "dirt", "glare")
"""Kinds that damage only a part of the image, so that a heat map can be measured."""
