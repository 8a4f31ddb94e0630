"""What the values of the training images mean, so that every later image is read in the same way.

Images of 8 bits are taken as they are. Those of 16 bits, and floats that leave 0…1, use a part of
their range that depends on the camera: it is found on the training images, and mapped to 0…1 for
every image. What an image was in, and the mean of its colours, are remembered too, so that images
on another scale are refused, and colours in reverse order are noticed.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.errors import DataError

Images = NDArray[Any]

LARGEST = 1e18  # of values, whose squares float32 still holds
LOOKED_AT = 4096  # training images that the range is found on, evenly spaced
DROPPED = 1e-4  # share of the pixels of an image, at either end, that are no part of the range
FENCE = 3.0  # times the distance between quartiles; images beyond it are no part of the range
MARGIN = 0.25  # of the range, added at either end for what is brighter or darker than normal
TOLERANCE = 1e-6  # by which floats may leave 0…1 through rounding
OTHER_SCALE = 2.0  # floats beyond it do not lie between 0 and 1, however noisy
FACTOR = 50.0  # between the largest values of two scales
MOSTLY = 0.9  # share of values outside the range from which images are on another scale
SIGNED = 0.01  # share of values well below zero that images between 0 and 1 do not have
SAMPLED = 64  # images whose colours are looked at
VALUES = 1 << 20  # values looked at to tell a scale
CHUNK = 1 << 24  # values converted at a time


@dataclass(frozen=True)
class ValueRange:
    """Type, range and colours of the training images.

    Parameters
    ----------
    dtype : {"uint8", "uint16", "float32"}
        Type of the training images as they came.
    low, high : float
        What becomes 0 and 1.
    means : tuple of float
        Mean of each channel, in the values of the images.
    spreads : tuple of float
        Standard deviation of that mean from image to image.
    """

    dtype: str
    low: float
    high: float
    means: tuple[float, ...] = ()
    spreads: tuple[float, ...] = ()

    @property
    def rescales(self) -> bool:
        """Whether values are mapped to 0…1, or taken as they are."""
        return self.dtype == "uint16" or (self.dtype == "float32" and not self._is_unit)

    @property
    def _is_unit(self) -> bool:
        return self.low == 0.0 and self.high == 1.0

    def of_scaled(self) -> ValueRange:
        """Return the range of images that `read` returned."""
        return ValueRange("float32", 0.0, 1.0) if self.rescales else self

    def sentence(self) -> str:
        """Say which range is used; empty for images of 8 bits."""
        if not self.rescales:
            return ""
        kind = "16-bit" if self.dtype == "uint16" else "floating-point"
        return (
            f"{kind} values from {self.low:.6g} to {self.high:.6g}, the range of the training "
            "images, are scaled to 0…1"
        )

    def read(self, images: Images) -> Images:
        """Return images as the detector takes them.

        Parameters
        ----------
        images : ndarray, shape (N, H, W, C)
            Of the type and on the scale of the training images.

        Returns
        -------
        ndarray, shape (N, H, W, C)
            The same array if nothing is rescaled; else float32 between 0 and 1, values outside
            the range set to its ends.

        Raises
        ------
        DataError
            If the images are of another type or on another scale.
        """
        self.check(images)
        return self.take(images)

    def check(self, images: Images) -> None:
        """Check that images fit the training images; see `read`."""
        self._check(images)
        self._look_at_colours(images)

    def take(self, images: Images) -> Images:
        """Return images as `read` does, of which it is known that they fit."""
        return self.scale(images) if self.rescales else images

    def scale(self, images: Images) -> NDArray[np.float32]:
        """Map the range to 0…1, and set values outside it to its ends."""
        scaled = np.empty(images.shape, np.float32)
        rows = max(1, CHUNK // max(1, images[0].size))
        for start in range(0, len(images), rows):
            part = images[start : start + rows].astype(np.float64)
            scaled[start : start + rows] = np.clip((part - self.low) / (self.high - self.low), 0, 1)
        return scaled

    def outside(self, images: Images) -> NDArray[np.bool_]:
        """Return which images hold values outside the range, shape (N,)."""
        if self.dtype == "uint8":
            return np.zeros(len(images), bool)
        flat = images.reshape(len(images), -1)
        slack = TOLERANCE * (self.high - self.low)
        beyond: NDArray[np.bool_] = (flat.min(axis=1) < self.low - slack) | (
            flat.max(axis=1) > self.high + slack
        )
        return beyond

    def _check(self, images: Images) -> None:
        found = images.dtype.name
        if self.dtype == "uint8" and found == "float32":
            low, high = images.min(), images.max()
            if low < 0 or high > 1:
                raise DataError(
                    "The detector was trained on uint8 images, so floats must lie between 0 and 1, "
                    f"but these lie in {low:g}…{high:g}; rescale them or give uint8."
                )
            return
        if found != self.dtype:
            raise DataError(
                f"The detector was trained on {self.dtype} images, but these are {found}; convert "
                "them in the same way as the training images."
            )
        if self.rescales and len(images):
            self._check_inside(images)
        if found != "float32":
            return
        low, high = float(images.min()), float(images.max())
        size = _most(images)
        if self._is_unit:
            wrong = size > OTHER_SCALE or _share_below(images, -0.25) > SIGNED
        else:
            most = max(abs(self.low), abs(self.high))
            small = (
                0 <= low <= high <= 1
                and self.high - self.low > FACTOR / 5
                and not np.array_equal(images, np.round(images))
            )
            darkest = self.low + MARGIN / (1 + 2 * MARGIN) * (self.high - self.low)
            signed = darkest < -0.15 * (self.high - self.low)  # much of the range is below zero
            unsigned = signed and 0 <= low < 0.4 and high <= 1
            wrong = small or unsigned or size > FACTOR * most
        if wrong:
            raise DataError(
                f"The detector was trained on values in {self.low:.6g}…{self.high:.6g}, but these "
                f"lie in {low:.6g}…{high:.6g}: bring them to the scale of the training images."
            )

    def _check_inside(self, images: Images) -> None:
        """Refuse images of a larger bit depth, which would all be clipped to one value.

        Images below the range may be dark, as with a covered lens: these are warned of. What has
        one value alone has no scale.
        """
        flat = images.reshape(len(images), -1)
        varied = flat[flat.max(axis=1) > flat.min(axis=1)].reshape(-1)
        sample = varied[:: max(1, -(-len(varied) // VALUES))]
        if not len(sample):
            return
        above, below = float((sample > self.high).mean()), float((sample < self.low).mean())
        said = (
            f"{100 * (above + below):.0f} % of the values of these images, which lie in "
            f"{float(sample.min()):.6g}…{float(sample.max()):.6g}, are outside the range of the "
            f"training images, {self.low:.6g}…{self.high:.6g}: bring them to the scale of the "
            "training images, or train with images such as these."
        )
        if above > MOSTLY:
            raise DataError(said)
        if above + below > MOSTLY:
            warnings.warn(said, stacklevel=5)

    def _look_at_colours(self, images: Images) -> None:
        """Warn if the colours would fit those of the training images in reverse order."""
        if images.shape[3] != 3 or len(self.means) != 3 or images.dtype.name != self.dtype:
            return
        own = np.array(_channel_means(images[:: -(-len(images) // SAMPLED)])[0])
        width = 255.0 if self.dtype == "uint8" else self.high - self.low
        spread = np.array(self.spreads) + 0.02 * width
        forward = np.abs(own - self.means) / spread
        backward = np.abs(own[::-1] - self.means) / spread
        if forward.max() > 6 and backward.max() < 2:
            warnings.warn(
                "The colours of these images fit those of the training images in reverse order: "
                "if they are BGR and not RGB, reverse them with images[..., ::-1].",
                stacklevel=4,
            )


def read_values(images: Images, values: ValueRange | None, dtype: str | None = None) -> Images:
    """Return images as a detector takes them; see `ValueRange.read`.

    Parameters
    ----------
    images : ndarray
        Images, or a table, which comes back as it is.
    values : ValueRange or None
        Of the training images; None for models saved before it was kept.
    dtype : str, optional
        Type of the images that such a model was trained on.

    Raises
    ------
    DataError
        If the images are of another type or on another scale.
    """
    if values is not None:
        return values.read(images)
    if dtype is None or images.ndim != 4 or images.dtype.name == dtype:
        return images
    if dtype == "uint8" and images.dtype == np.uint16:
        warnings.warn(
            "The model is from a version that divided 16-bit values by 257, and so are these: fit "
            "it again to use the range that the images have.",
            stacklevel=3,
        )
        return ((images.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return ValueRange(dtype, 0.0, 255.0 if dtype == "uint8" else 1.0).read(images)


def fitted_range(images: Images, among: NDArray[np.bool_] | None = None) -> ValueRange | None:
    """Find out what the values of training images mean.

    Parameters
    ----------
    images : ndarray of uint8, uint16 or float32, shape (N, H, W, C)
        Images. A table has no such range.
    among : ndarray of bool, shape (N,), optional
        Which of them are trained on; by default all.

    Returns
    -------
    ValueRange or None
        Of 16-bit images and of floats outside 0…1, the range is that of nearly all pixels of all
        images but those far from the others, with a margin of a quarter at either end.
    """
    if images.ndim != 4:
        return None
    index = np.arange(len(images)) if among is None else np.flatnonzero(among)
    means, spreads = _channel_means(images[index[:: -(-len(index) // SAMPLED)]])
    dtype = images.dtype.name
    if dtype == "uint8":
        return ValueRange(dtype, 0.0, 255.0, means, spreads)
    if dtype == "float32":
        low, high = float(images.min()), float(images.max())
        if low >= -TOLERANCE and high <= 1 + TOLERANCE:
            return ValueRange(dtype, 0.0, 1.0, means, spreads)
    low, high = _robust_range(images[i] for i in index[:: -(-len(index) // LOOKED_AT)])
    margin = MARGIN * (high - low)
    low, high = low - margin, high + margin
    if dtype == "uint16":
        low, high = max(0.0, np.floor(low)), min(65535.0, np.ceil(high))
    return ValueRange(dtype, float(low), float(high), means, spreads)


def _most(images: Images) -> float:
    """Return the size that 99 % of the values have at most, looking at some of them."""
    sample = images.reshape(-1)
    sample = sample[:: -(-len(sample) // VALUES)]
    return float(np.quantile(np.abs(sample), 0.99))


def _share_below(images: Images, value: float) -> float:
    sample = images.reshape(-1)
    return float((sample[:: -(-len(sample) // VALUES)] < value).mean())


def _robust_range(images: Iterable[Images]) -> tuple[float, float]:
    lows, highs = [], []
    for image in images:
        values = np.sort(image, axis=None)
        drop = int(DROPPED * values.size)
        lows.append(float(values[drop]))
        highs.append(float(values[-1 - drop]))
    low = -_largest_but_outliers(-np.array(lows))
    high = _largest_but_outliers(np.array(highs))
    if high <= low:
        low, high = float(min(lows)), float(max(highs))
    return (low, high) if high > low else (low, low + max(1.0, abs(low)))


def _largest_but_outliers(values: NDArray[np.float64]) -> float:
    first, third = np.quantile(values, (0.25, 0.75))
    return float(values[values <= third + FENCE * (third - first)].max())


def _channel_means(images: Images) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean of each channel, and how much it differs from image to image."""
    each = images.mean(axis=(1, 2), dtype=np.float64)
    return tuple(map(float, each.mean(axis=0))), tuple(map(float, each.std(axis=0)))


def shown_as_uint8(images: Images, values: ValueRange | None = None) -> NDArray[np.uint8]:
    """Return images to look at, whatever their type.

    Parameters
    ----------
    images : ndarray of uint8, uint16 or float32, shape (N, H, W, C)
        Images.
    values : ValueRange, optional
        Range of the training images; by default what these images use.

    Returns
    -------
    ndarray of uint8, shape (N, H, W, C)
        The same array if it is of uint8.
    """
    if images.dtype == np.uint8 or not len(images):
        return images.astype(np.uint8, copy=False)
    if values is None or values.dtype == "uint8":
        values = fitted_range(images)
    assert values is not None
    return np.rint(255 * values.scale(images)).astype(np.uint8)
