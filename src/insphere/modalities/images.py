"""Images: uint8 or float32, N×H×W×C, from arrays, tensors, pictures, folders and archives."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from insphere.data.image_set import ImageSet
from insphere.data.inputs import as_images, holds_images, opened, training_images
from insphere.data.letterbox import Canvas, Fit
from insphere.data.read_options import ReadOptions
from insphere.data.sample_set import SampleSet
from insphere.errors import DataError
from insphere.modalities.modality import Array, Modality, forget_columns


def _canvas_of(estimator: Any) -> Canvas:
    """Return how images of other sizes get to that of the training images."""
    trained = getattr(estimator, "trained_on_", None)
    height, width = estimator.image_shape_[:2]
    fit: Fit = "own" if trained is None or trained.size is None else trained.fit
    return Canvas(height, width, fit)


@dataclass(frozen=True)
class Images(Modality):
    """Images of one size.

    Parameters
    ----------
    shape : tuple (H, W, C)
        Shape of one image.
    dtype : str
        "uint8" or "float32".
    """

    shape: tuple[int, int, int]
    dtype: str

    key: ClassVar[str] = "images"
    noun: ClassVar[str] = "images"
    plural: ClassVar[str] = "images"
    singular: ClassVar[str] = "image"
    how_to_label: ClassVar[str] = (
        "put normal and anomalous ones into folders of their own and name the normal one with "
        "normal="
    )
    has_maps: ClassVar[bool] = True

    @classmethod
    def reads(cls, X: Any) -> bool:
        """Whether these are images, or a path of images."""
        if isinstance(X, (ImageSet, str, os.PathLike)):
            return True
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(X, torch.Tensor):
            return bool(X.ndim > 2)
        return holds_images(X) or getattr(X, "ndim", 0) in (3, 4)

    @classmethod
    def load(cls, source: str, reading: ReadOptions, *, progress: bool | None = None) -> ImageSet:
        """Read images; see `insphere.data.load_dataset`."""
        return reading.load(source, progress=progress)

    @classmethod
    def opened(cls, X: Any) -> Any:
        """Return the `ImageSet` at a path or name."""
        return opened(X)

    @classmethod
    def owns(cls, data: Array) -> bool:
        """Whether this is an array N×H×W×C."""
        return data.ndim == 4

    @classmethod
    def read(cls, X: Any, *, fitting: bool, estimator: Any) -> Array:
        """Return images N×H×W×C; see `insphere.data.inputs.as_images`."""
        if fitting:
            data = np.asanyarray(training_images(X))
        else:
            data = np.asanyarray(as_images(X, canvas=_canvas_of(estimator)))
        if fitting:
            if len(data) < 2:
                raise DataError(
                    f"Training needs at least 2 normal images, but got n_samples = {len(data)}."
                )
            forget_columns(estimator)
        return data

    @classmethod
    def of(cls, data: Array) -> Self:
        """Return the shape and number format of images."""
        height, width, channels = data.shape[1:]
        return cls((int(height), int(width), int(channels)), data.dtype.name)

    @classmethod
    def batch(cls, data: Array) -> Array:
        """Return a view with the channels first, N×C×H×W."""
        return data.transpose(0, 3, 1, 2)

    @classmethod
    def unbatch(cls, values: Array) -> Array:
        """Return values with the channels last, N×H×W×C."""
        return np.ascontiguousarray(values.transpose(0, 2, 3, 1))

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """(C, H, W)."""
        height, width, channels = self.shape
        return (channels, height, width)

    def prepared(self, data: Array) -> Self:
        """Describe the images with the number format that they have now."""
        return self.of(data)

    def exhibits(self, detector: Any, data: SampleSet, index: NDArray[np.int64]) -> None:
        """Return None: images are shown themselves, with heat maps."""
        return

    def describe(self) -> str:
        """Return the size of the images."""
        return f"images of {self.size}"

    def check(self, data: Array) -> None:
        """Refuse images of another shape; `insphere.data.value_range` checks their values."""
        if data.shape[1:] != self.shape:
            raise DataError(
                f"The detector was trained on images of {self.size}, but these are "
                f"{'×'.join(map(str, data.shape[1:]))}; resize or convert them first."
            )

    @property
    def size(self) -> str:
        """Height, width and channels."""
        return "×".join(map(str, self.shape))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return self.shape

    @property
    def image_dtype(self) -> str:
        """Name of the number format of pixels."""
        return self.dtype
