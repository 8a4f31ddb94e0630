"""Checks of the content of a file, where its name is not enough."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from insphere.data.files import ImageFiles
from insphere.data.pixels import open_image

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


def is_empty_mask(files: ImageFiles, name: str) -> bool:
    """Whether no pixel of a mask is set; False if it cannot be read."""
    values = mask_values(files, name)
    return values is not None and not values.any()
