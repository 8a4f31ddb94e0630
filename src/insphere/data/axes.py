"""Detection of arrays whose axes are in an unexpected order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.errors import DataError

CHANNELS = (1, 3)
STEEP = 3.0  # times as large as along other axes are differences between images
SMALLEST = 8  # of all sides; below it, differences say nothing
LOOKED_AT = 64  # places along each axis at which differences are taken


def check_axes(values: NDArray[Any], title: str = "An array of images") -> None:
    """Refuse arrays whose axes are in another order than images, rows, columns, channels.

    Parameters
    ----------
    values : ndarray, of 3 or 4 dimensions
        Images, supposedly N×H×W or N×H×W×C.
    title : str
        What they are, for messages.

    Raises
    ------
    DataError
        If the order is another one or is ambiguous; the message says how to change it.
    """
    shape = "×".join(map(str, values.shape))
    if values.ndim == 3:
        _check_grey(values, title, shape)
        return
    if values.shape[3] in CHANNELS:
        return
    if values.shape[3] == 4 and values.shape[1] not in CHANNELS:
        hint = "; leave out the transparency with images[..., :3]"
    elif values.shape[1] in CHANNELS:
        hint = "; move them last with numpy.moveaxis(images, 1, -1)"
    elif values.shape[2] in CHANNELS:
        hint = "; if the last axis counts images, it goes first: numpy.moveaxis(images, -1, 0)"
    elif values.shape[0] in CHANNELS:
        hint = "; if the first axis is colour, it goes last: numpy.moveaxis(images, 0, -1)"
    else:
        hint = ""
    raise DataError(
        f"{title} has the shape {shape}, but images have 1 or 3 channels in their last axis{hint}."
    )


def _check_grey(values: NDArray[Any], title: str, shape: str) -> None:
    n, height, width = values.shape
    if width == 3:
        raise DataError(
            f"{title} of the shape {shape} looks like one single RGB image: give it the shape "
            "1×H×W×3 with image[None]."
        )
    if (n == height != width and n > 1) or _is_image_last(values):
        raise DataError(
            f"{title} has the shape {shape}, which may be {n} images of {height}×{width} or "
            f"{width} images of {n}×{height}: for the former give N×H×W×1 with images[..., None], "
            "for the latter numpy.moveaxis(images, -1, 0)."
        )


def _is_image_last(values: NDArray[Any]) -> bool:
    """Whether the last axis seems to count images: neighbours along it differ far more.

    Neighbouring pixels of one image are similar; the same pixel in two images is not.
    """
    if min(values.shape) < SMALLEST or values.dtype.kind not in "iuf":
        return False
    first, second, last = (_difference(values, axis) for axis in range(3))
    return last > STEEP * max(first, second) and max(first, second) > 0


def _difference(values: NDArray[Any], axis: int) -> float:
    """Return the mean absolute difference of neighbours along an axis, at some places."""
    at = [slice(None, None, max(1, side // LOOKED_AT)) for side in values.shape]
    one, next_ = list(at), list(at)
    step = max(1, values.shape[axis] // LOOKED_AT)
    one[axis], next_[axis] = slice(0, -1, step), slice(1, None, step)
    with np.errstate(all="ignore"):
        before = values[tuple(one)].astype(np.float64)
        return float(np.abs(values[tuple(next_)].astype(np.float64) - before).mean())
