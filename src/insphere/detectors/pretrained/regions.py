"""The part of photographs that is judged: a rectangle, or the white of a picture."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.data.inputs import as_images
from insphere.detectors.base.checks import is_real
from insphere.errors import SpecError

Mask = NDArray[np.bool_]
FINEST = 512  # rows and columns of a kept mask at most

Region = str | os.PathLike[str] | Sequence[float] | None


def read_region(region: Any) -> Mask | None:
    """Return which part of a photograph is judged.

    Parameters
    ----------
    region : path, sequence of 4 numbers, or None
        An image that is white, or of any value but 0, where photographs are judged; or top, left,
        bottom and right of a rectangle, as shares of height and width. Also as text,
        ``"0.1,0,0.9,1"``. None is all of it.

    Returns
    -------
    ndarray of bool, shape (h, w), or None
        At most 512×512; it is stretched over each photograph.

    Raises
    ------
    SpecError
        If it is neither, or nothing would be judged.

    Examples
    --------
    >>> read_region("0,0.5,1,1")[0, [0, 255, 256, 511]].tolist()
    [False, False, True, True]
    """
    if region is None:
        return None
    edges = _edges(region)
    if edges is not None:
        centres = (np.arange(FINEST) + 0.5) / FINEST
        top, left, bottom, right = edges
        mask: Mask = ((top <= centres) & (centres <= bottom))[:, None] & (
            (left <= centres) & (centres <= right)
        )
    else:
        path = Path(region)
        if not path.is_file():
            raise SpecError(
                f"There is no picture {str(region)!r} for the region: give one, or top,left,"
                "bottom,right as shares such as 0.1,0,0.9,1."
            )
        return white_of(as_images(path, progress=False)[0])
    if not mask.any():
        raise SpecError("The region leaves nothing to judge: it is empty.")
    return mask


def white_of(picture: NDArray[Any]) -> Mask:
    """Return where a picture is white, or of any value but 0.

    Parameters
    ----------
    picture : ndarray, shape (H, W, C)
        Its pixels.

    Returns
    -------
    ndarray of bool, shape (h, w)
        At most 512×512.

    Raises
    ------
    SpecError
        If it is black.
    """
    pixels: Mask = np.asarray(picture.any(axis=2))
    steps = [max(1, -(-side // FINEST)) for side in pixels.shape]
    mask = pixels[:: steps[0], :: steps[1]]
    if not mask.any():
        raise SpecError("The picture of the region is black: make white what is to be judged.")
    return mask


def _edges(region: Any) -> tuple[float, ...] | None:
    """Return the edges of a rectangle; None if the region is a path."""
    values = region
    if isinstance(region, str):
        try:
            values = [float(part) for part in region.split(",")]
        except ValueError:
            return None
        if len(values) == 1:
            return None  # a file whose name is a number
    elif isinstance(region, os.PathLike):
        return None
    numbers = isinstance(values, Sequence | np.ndarray) and all(is_real(v) for v in values)
    if numbers and len(values) == 4:
        top, left, bottom, right = (float(v) for v in values)
        if 0 <= top < bottom <= 1 and 0 <= left < right <= 1:
            return top, left, bottom, right
    raise SpecError(
        "region is a picture, or top, left, bottom and right of a rectangle as shares from 0 to "
        f"1, such as 0.1,0,0.9,1, but got {region!r}."
    )


def judged(mask: Mask, content: tuple[float, float], grid: tuple[int, int]) -> Mask:
    """Return at which positions of a grid photographs are judged.

    Parameters
    ----------
    mask : ndarray of bool, shape (h, w)
        From `read_region`.
    content : (float, float)
        Height and width that the photograph takes of the grid, as shares.
    grid : (int, int)
        Rows and columns.
    """
    places = [
        np.minimum((np.arange(n) + 0.5) / n / share * side, side - 1).astype(int)
        for n, share, side in zip(grid, content, mask.shape, strict=True)
    ]
    found: Mask = mask[np.ix_(*places)]
    return found
