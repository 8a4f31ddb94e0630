"""Checks of the content of a file, where its name is not enough."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from insphere.data.files import ImageFiles
from insphere.data.pixels import open_image

LOOKED_AT = 3  # masks that decide for all files with such names
MOST_LOOKED_AT = 200  # files that are opened for that: masks of good parts are black throughout
SIDE = 256  # pixels; larger files are looked at in this size
FEW_VALUES = 32  # grey values; a mask of classes has few
NEAR = 32  # grey levels around black and white that compression may have added
SHARE = 0.95  # of the pixels of a mask are near its darkest or its brightest


def mask_values(files: ImageFiles, name: str) -> NDArray[np.uint8] | None:
    """Return the grey values of a file, None if it cannot be read (decoding will say so)."""
    try:
        image = open_image(files.read(name))
        if image.mode.startswith(("I", "F")):
            return (np.asarray(image) > 0).astype(np.uint8)
        return np.asarray(image.convert("L"))
    except Exception:  # decoders raise whatever a damaged file leads them to
        return None


def looks_like_mask(files: ImageFiles, name: str) -> bool:
    """Whether a file holds few grey values, or nearly only two; True if it cannot be read."""
    values = mask_values(files, name)
    if values is None:
        return True
    step = max(1, max(values.shape) // SIDE)
    values = values[::step, ::step]
    if len(np.unique(values)) <= FEW_VALUES:
        return True
    low, high = int(values.min()), int(values.max())
    near = (values <= low + NEAR) | (values >= high - NEAR)
    return bool(near.mean() >= SHARE)


def masks_among(files: ImageFiles, pairs: Mapping[str, str]) -> list[str]:
    """Return the files looked at that are masks of other files; none if one of them is not.

    A mask has two grey values, and its image more. One of one value may be the mask of an image
    without a defect; more files are looked at then, and if all are so, all are such masks.

    Parameters
    ----------
    files : ImageFiles
        The tree.
    pairs : mapping of str to str
        Possible masks, each with the image that it may belong to.
    """
    names = sorted(pairs)
    places = np.unique(np.linspace(0, len(names) - 1, MOST_LOOKED_AT).astype(np.int64))
    found: list[str] = []
    blank: list[str] = []
    for name in (names[place] for place in places):
        values = mask_values(files, name)
        if values is None:
            return []
        low, high = values.min(), values.max()
        if not ((values == low) | (values == high)).all():
            return []
        alike = blank if low == high else found
        if len(alike) < LOOKED_AT and looks_like_mask(files, pairs[name]):
            return []
        alike.append(name)
        if len(found) == LOOKED_AT:
            break
    return found or blank


def is_empty_mask(files: ImageFiles, name: str) -> bool:
    """Whether no pixel of a mask is set; False if it cannot be read."""
    values = mask_values(files, name)
    return values is not None and not values.any()
