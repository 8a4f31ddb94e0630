"""`ImageSet`: images as one array N×H×W×C, with labels and the files they came from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.data.letterbox import Fit
from insphere.data.sample_set import SampleSet
from insphere.errors import DataError

DTYPES = (np.uint8, np.uint16, np.float32)


@dataclass(frozen=True, eq=False)
class ImageSet(SampleSet):
    """Images of one size with their labels.

    Parameters
    ----------
    images : ndarray of uint8, uint16 or float32, shape (N, H, W, C)
        Pixels, in memory or memory-mapped; C is 1 (grey) or 3 (RGB). uint8 unless the source has
        more than 8 bits for a value; what range it uses is found on the training images.
    labels : ndarray of int64, shape (N,)
        Index of each image's class in `class_names`.
    class_names : tuple of str
        Names of the classes.
    name : str
        What the set is called in tables and reports.
    is_test : ndarray of bool, shape (N,), optional
        Which images belong to the test part that the source itself defines; None if it defines
        none.
    masks : ndarray of uint8, shape (N, H, W), optional
        Ground-truth masks of defects: 0 is normal, 255 is anomalous.
    paths : tuple of str, optional
        Where each image came from.
    groups : ndarray of int64, shape (N,), optional
        Images with the same number (frames of one track) must not be split.
    skipped : tuple of str
        Files that could not be read and were left out, each with its reason.
    notes : tuple of str
        What a reader of results on this set should know about how it was read.
    normal_classes : tuple of str
        Classes that the source itself calls normal; empty if it does not say.
    own_anomalies : bool
        Whether each normal class has anomalies of its own: class ``a/broken`` is one of ``a``, and
        says nothing about a detector that learned ``b``.
    layout : str
        Name of the layout of folders that was recognised; empty for other sources.
    fit : {"stretch", "own", "letterbox"}
        How images of different sizes got this one; see `insphere.data.letterbox.Canvas`.
    n_masks : int
        Images that come with a mask of their own, be it empty.
    ignored : dict of str to int
        Files that were seen and are no images of the set, by type.
    """

    images: NDArray[Any]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    name: str = "images"
    is_test: NDArray[np.bool_] | None = None
    masks: NDArray[np.uint8] | None = None
    paths: tuple[str, ...] | None = None
    groups: NDArray[np.int64] | None = None
    skipped: tuple[str, ...] = field(default=())
    notes: tuple[str, ...] = field(default=())
    normal_classes: tuple[str, ...] = ()
    own_anomalies: bool = False
    layout: str = ""
    fit: Fit = "stretch"
    n_masks: int = 0
    ignored: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.images.dtype not in DTYPES or self.images.ndim != 4:
            raise DataError(
                f"An ImageSet holds uint8, uint16 or float32 images of shape N×H×W×C, but got "
                f"{self.images.dtype} of shape {self.images.shape}; convert grey N×H×W arrays with "
                "images[..., None]."
            )
        if self.images.shape[3] not in (1, 3):
            raise DataError(
                f"Images have 1 (grey) or 3 (RGB) channels, but got {self.images.shape[3]}."
            )
        n = len(self.images)
        for title in ("labels", "is_test", "masks", "paths", "groups"):
            value = getattr(self, title)
            if value is not None and len(value) != n:
                raise DataError(f"There are {n} images but {len(value)} {title}.")
        if n and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < len(self.class_names):
            raise DataError(
                f"Labels lie in {self.labels.min()}…{self.labels.max()}, but there are "
                f"{len(self.class_names)} class names."
            )

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        n, height, width, channels = self.images.shape
        return (
            f"ImageSet({self.name!r}, {n} images of {height}×{width}×{channels}, "
            f"{len(self.class_names)} classes)"
        )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every image."""
        height, width, channels = self.images.shape[1:]
        return height, width, channels

    def subset(self, index: NDArray[np.int64] | NDArray[np.bool_] | slice) -> ImageSet:
        """Return the images at `index` (a copy of their pixels unless `index` is a slice)."""

        def take(values: NDArray[Any] | None) -> Any:
            return None if values is None else values[index]

        paths = self.paths
        if paths is not None:
            paths = tuple(np.array(paths, dtype=object)[index])
        return replace(
            self,
            images=self.images[index],
            labels=self.labels[index],
            is_test=take(self.is_test),
            masks=take(self.masks),
            paths=paths,
            groups=take(self.groups),
        )

    def take(self, index: NDArray[np.int64]) -> NDArray[Any]:
        """Return the images at a sorted index, as a view (no copy) where it leaves nothing out."""
        return take_images(self.images, index)

    def one_class(self, index: NDArray[np.int64], name: str) -> ImageSet:
        """Return the images at a sorted index as a set of one class of this name."""
        groups = None if self.groups is None else self.groups[index]
        none = np.zeros(len(index), np.int64)
        return ImageSet(self.take(index), none, (name,), self.name, groups=groups, fit=self.fit)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over pixels and labels: the same data has the same fingerprint anywhere."""
        what: tuple[Any, ...] = (self.images.shape, self.class_names)
        if self.images.dtype != np.uint8:
            what = (*what, self.images.dtype.name)
        digest = hashlib.sha256(repr(what).encode())
        for start in range(0, len(self.images), 4096):
            digest.update(np.ascontiguousarray(self.images[start : start + 4096]).data)
        digest.update(np.ascontiguousarray(self.labels, dtype="<i8").data)
        return digest.hexdigest()


def take_images(images: NDArray[Any], index: NDArray[np.int64]) -> NDArray[Any]:
    """Return the images at a sorted index, as a view (no copy) where it leaves nothing out."""
    if len(index) and index[-1] - index[0] == len(index) - 1:
        return images[int(index[0]) : int(index[-1]) + 1]
    return images[index]
