"""Synthetic anomalies in whole batches of images, with masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insphere.errors import DataError, SpecError
from insphere.synthetic_anomalies.table import KINDS

VISIBLE = 3
"""Pixels that would change by fewer grey levels than this in every channel stay as they are."""
TRIES = 4


@dataclass(frozen=True, eq=False)
class SyntheticAnomalies:
    """Images with synthetic anomalies.

    Attributes
    ----------
    images : ndarray of uint8, shape (N, H, W, C)
        The damaged images.
    masks : ndarray of bool, shape (N, H, W)
        Where they differ from the originals. Empty for an image that could not be damaged visibly.
    """

    images: NDArray[np.uint8]
    masks: NDArray[np.bool_]


def synthesize(
    images: NDArray[Any],
    kind: str,
    strength: ArrayLike = 0.5,
    *,
    seed: int = 0,
    textures: NDArray[Any] | None = None,
) -> SyntheticAnomalies:
    """Damage images in one way.

    What is done to an image depends on seed, kind and its position in the batch, not on the other
    images, except that `foreign-texture` shows one of `textures`.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, H, W, C)
        With 1 or 3 channels, of any size; they are not changed.
    kind : str
        A key of `KINDS`.
    strength : float or array of shape (N,)
        Above 0, where nothing changes, to 1. The same anomaly grows stronger with it.
    seed : int
        The same seed gives the same anomalies.
    textures : ndarray of uint8, shape (M, h, w, C), optional
        Images for foreign textures; by default the images themselves.

    Returns
    -------
    SyntheticAnomalies

    Raises
    ------
    SpecError
        If there is no such kind, or a strength is out of range.
    DataError
        If the images are not uint8 of shape N×H×W×C with 1 or 3 channels.

    Examples
    --------
    >>> grey = np.full((2, 32, 32, 1), 128, dtype=np.uint8)
    >>> found = synthesize(grey, "spots", 1.0)
    >>> bool(((found.images != grey)[..., 0] == found.masks).all())
    True
    """
    if kind not in KINDS:
        raise SpecError(f"Unknown synthetic anomaly {kind!r}; use one of {', '.join(KINDS)}.")
    data = _checked(images)
    others = data if textures is None else _checked(textures)
    strengths = np.broadcast_to(np.asarray(strength, dtype=np.float64), len(data))
    if not ((strengths > 0) & (strengths <= 1)).all():
        raise SpecError("The strength of a synthetic anomaly is above 0 and at most 1.")
    changed, masks = data.copy(), np.zeros(data.shape[:3], dtype=bool)
    number = list(KINDS).index(kind)
    for position, original in enumerate(data):
        image = original.astype(np.float32)
        for attempt in range(TRIES):
            rng = np.random.default_rng((seed, number, position, attempt))
            other = others[rng.integers(len(others))].astype(np.float32)
            damaged = KINDS[kind].damage(image, float(strengths[position]), rng, other)
            levels = np.clip(np.rint(damaged), 0, 255)
            mask = np.abs(levels - image).max(axis=2) >= VISIBLE
            if mask.any():
                changed[position][mask] = levels[mask].astype(np.uint8)
                masks[position] = mask
                break
    return SyntheticAnomalies(changed, masks)


def mixed(
    images: NDArray[Any],
    kinds: ArrayLike,
    *,
    strengths: tuple[float, float] = (0.2, 1.0),
    seed: int = 0,
    textures: NDArray[Any] | None = None,
) -> SyntheticAnomalies:
    """Damage each image in a way and at a strength that are drawn at random.

    Parameters
    ----------
    images, seed, textures
        As in `synthesize`.
    kinds : sequence of str
        Keys of `KINDS` to draw from.
    strengths : (float, float)
        Least and greatest strength.
    """
    names = [str(name) for name in np.atleast_1d(kinds)]
    rng = np.random.default_rng((seed, 0x6D69786564))
    which = rng.integers(len(names), size=len(images))
    strength = rng.uniform(*strengths, size=len(images))
    data = _checked(images)
    changed, masks = data.copy(), np.zeros(data.shape[:3], dtype=bool)
    others = data if textures is None else textures
    for number, name in enumerate(names):
        index = np.flatnonzero(which == number)
        if len(index):
            part_seed = int(rng.integers(2**31))
            part = synthesize(data[index], name, strength[index], seed=part_seed, textures=others)
            changed[index], masks[index] = part.images, part.masks
    return SyntheticAnomalies(changed, masks)


def _checked(images: NDArray[Any]) -> NDArray[np.uint8]:
    data = np.asarray(images)
    if data.dtype != np.uint8 or data.ndim != 4 or data.shape[3] not in (1, 3) or not data.size:
        raise DataError(
            "Synthetic anomalies are made in uint8 images of shape N×H×W×C with 1 or 3 channels, "
            f"but got {data.dtype} of shape {data.shape}."
        )
    return data
