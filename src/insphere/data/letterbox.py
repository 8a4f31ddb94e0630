"""Photographs of different sizes on one canvas, with their aspect kept.

A photograph lies in the upper left corner of the canvas. The rest is filled with its own mirror
image, so that no artificial edge appears that a method would have to learn. Because the padding is
an exact mirror image, `content_size` finds it again from the pixels alone: wherever the array goes,
methods that know about padding leave it out of their scores and maps.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]
Fit = Literal["stretch", "own", "letterbox"]

LARGEST_SIDE = 8192  # pixels of a canvas; photographs beyond it shrink
MOST_SPARE = 4.0  # canvas in areas of the median photograph, above which all are scaled to fit


@dataclass(frozen=True)
class Canvas:
    """The common size of a set of images, and how each one gets there.

    Parameters
    ----------
    height, width : int
        In pixels.
    fit : {"stretch", "own", "letterbox"}
        "own": images keep their own scale, and shrink only if they do not fit. "letterbox": each
        is scaled to touch two opposite sides. "stretch": each is resized to the canvas, whatever
        its aspect.
    """

    height: int
    width: int
    fit: Fit

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width

    def content(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of an image of this size when it lies on the canvas.

        Examples
        --------
        >>> Canvas(100, 200, "letterbox").content(50, 50), Canvas(100, 200, "own").content(50, 50)
        ((100, 100), (50, 50))
        """
        if self.fit == "stretch":
            return self.size
        scale = min(self.height / height, self.width / width)
        if self.fit == "own" and scale >= 1:
            return height, width
        return (
            min(self.height, max(1, round(scale * height))),
            min(self.width, max(1, round(scale * width))),
        )

    def describe(self, n: int) -> str:
        """Return what becomes of `n` images of different sizes, as a sentence."""
        how = {
            "own": "each at its own scale",
            "letterbox": "each scaled to fit, with its aspect kept",
            "stretch": "each stretched to it",
        }[self.fit]
        return (
            f"The {n} images differ in size, so they lie on a canvas of {self.height}×{self.width} "
            f"pixels, {how}; size={self.height}x{self.width} or another resizes them instead."
        )


def choose_canvas(sizes: Iterable[tuple[int, int]]) -> Canvas:
    """Choose the canvas for images of different sizes, from these sizes alone.

    Images that resemble one another in size, such as cut-outs of photographs by one camera, keep
    their scale: a defect is then as large in each. The canvas holds the highest and the widest. If
    it were more than four times as large as the median image, the images come from different
    distances or cameras, and each is scaled to fit a canvas of their median area and aspect.

    Parameters
    ----------
    sizes : iterable of (int, int)
        Height and width of each image.

    Examples
    --------
    >>> choose_canvas([(300, 200), (310, 180)])
    Canvas(height=310, width=200, fit='own')
    >>> choose_canvas([(3000, 4000), (300, 400), (330, 440)])
    Canvas(height=330, width=440, fit='letterbox')
    """
    pairs = np.array(list(sizes), dtype=np.float64)
    height, width = (int(side) for side in pairs.max(axis=0))
    areas, aspects = pairs.prod(axis=1), pairs[:, 0] / pairs[:, 1]
    area, aspect = float(np.median(areas)), float(np.median(aspects))
    if height * width <= MOST_SPARE * area and max(height, width) <= LARGEST_SIDE:
        return Canvas(height, width, "own")
    tall, wide = float(np.sqrt(area * aspect)), float(np.sqrt(area / aspect))
    shrunk = min(1.0, LARGEST_SIDE / max(tall, wide))
    return Canvas(max(1, round(shrunk * tall)), max(1, round(shrunk * wide)), "letterbox")


def on_canvas(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Fill the canvas to the right of an image, and below it, with its mirror image.

    Parameters
    ----------
    pixels : ndarray, shape (h, w, C)
        The image, not larger than the canvas.
    size : (int, int)
        Height H and width W of the canvas.

    Returns
    -------
    ndarray, shape (H, W, C)
    """
    return _mirrored(_mirrored(pixels, size[0], 0), size[1], 1)


def _mirrored(pixels: Pixels, length: int, axis: int) -> Pixels:
    n = pixels.shape[axis]
    if n == length:
        return pixels
    places = np.arange(length) % (2 * n)
    longer: Pixels = np.take(pixels, np.where(places < n, places, 2 * n - 1 - places), axis=axis)
    return longer


def content_size(image: Pixels) -> tuple[int, int]:
    """Return height and width of the image that lies on a canvas, found from its mirror image.

    It is the smallest h and w for which `on_canvas` makes the same array of the upper left h × w
    pixels. What is left out is therefore always a copy of what is kept, even for an image that was
    never padded.

    Parameters
    ----------
    image : ndarray, shape (H, W, C)
        From `on_canvas`, or any other.

    Examples
    --------
    >>> image = np.arange(12).reshape(3, 4, 1)
    >>> content_size(on_canvas(image, (8, 5))), content_size(image)
    ((3, 4), (3, 4))
    """
    if (image == image[0, 0]).all():
        return image.shape[0], image.shape[1]  # nothing in it tells where it ends
    height = _kept(image)
    width = _kept(image[:height].transpose(1, 0, 2))
    return height, width


def _kept(rows: Pixels) -> int:
    """Return the smallest number of rows whose repeated mirror image is all of them."""
    n = len(rows)
    same = np.flatnonzero((rows[1:] == rows[:-1]).reshape(n - 1, -1).all(axis=1)) + 1
    for kept in same:  # a seam lies between two rows that are equal
        after = min(int(kept), n - int(kept))
        if not np.array_equal(rows[kept : kept + after], rows[kept - after : kept][::-1]):
            continue
        if np.array_equal(_mirrored(rows[:kept], n, 0), rows):
            return int(kept)
    return n
