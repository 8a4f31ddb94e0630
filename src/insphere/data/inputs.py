"""Conversion of all inputs that a detector accepts to one array."""

from __future__ import annotations

import math
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from insphere.data.axes import check_axes
from insphere.data.image_set import DTYPES, ImageSet, take_images
from insphere.data.letterbox import Canvas, Fit, choose_canvas, on_canvas
from insphere.data.load import Size, load_dataset, load_paths
from insphere.data.pixels import image_to_array, resized
from insphere.data.sample_set import SampleSet
from insphere.data.torch_inputs import from_tensor, from_torch_data, is_torch_data
from insphere.data.value_range import LARGEST
from insphere.errors import DataError
from insphere.safe_text import reason

FINITE_CHUNK = 1 << 22  # values checked at a time


def as_images(
    X: Any,
    *,
    size: Size | None = None,
    channels: int | None = None,
    skip_bad: bool = False,
    progress: bool | None = None,
    canvas: Canvas | None = None,
) -> NDArray[Any]:
    """Convert images in any accepted form to an array of shape N×H×W×C.

    Parameters
    ----------
    X : array, tensor, ImageSet, path, list of arrays, PIL images or paths, or torch data set
        Arrays are N×H×W×C, or N×H×W if grey; torch tensors N×C×H×W or N×H×W. A path, or a
        name, is read by `load_dataset`. Of a torch ``Dataset`` or ``DataLoader``, the images are
        taken and the labels are not. Anything with two dimensions is a table and comes back
        as it is.
    size, channels, skip_bad, progress
        How to read paths; see `load_dataset`.
    canvas : Canvas, optional
        Where paths, pictures and lists of arrays of other sizes are to lie; by default they keep
        their size, or lie on a canvas of their own if they differ.

    Returns
    -------
    ndarray of uint8, uint16 or float32, shape (N, H, W, C)
        Arrays of these types, memory maps included, are not copied.

    Raises
    ------
    DataError
        If these are no images, or not all of them have finite values.
    """
    given = X
    X = opened(X, size=size, channels=channels, skip_bad=skip_bad, progress=progress)
    if isinstance(X, ImageSet):
        if canvas is not None and given is not X and X.image_shape[:2] != canvas.size:
            X = opened(
                given, size=canvas.size, fit=canvas.fit, channels=channels, skip_bad=skip_bad,
                progress=progress,
            )  # fmt: skip
            assert isinstance(X, ImageSet)
        return X.images
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(X, torch.Tensor):
        X = from_tensor(X, torch)
    elif isinstance(X, Image.Image):
        X = _from_list([X], canvas)
    elif holds_images(X):
        X = _from_list(X, canvas)
    elif torch is not None and is_torch_data(X, torch):
        X = from_torch_data(X, torch, _from_list)
    X = _unmasked(X)
    if getattr(X, "ndim", None) == 2:
        return X  # type: ignore[no-any-return]
    try:
        values = np.asanyarray(X)
    except ValueError as error:
        raise DataError(
            "Images of different shapes do not form one array: resize them to one size first."
        ) from error
    if values.ndim == 2 and not isinstance(X, np.ndarray):
        return X  # type: ignore[no-any-return]
    return _checked(values)


def training_images(
    X: Any,
    *,
    size: Size | None = None,
    channels: int | None = None,
    skip_bad: bool = False,
    progress: bool | None = None,
) -> NDArray[Any]:
    """Return the images to fit on.

    From a path or an `ImageSet`, these are the images of the training part if the source defines a
    test part, and otherwise all images. They must be of one class, unless the source itself says
    which class is normal. Other inputs are used as they are.

    Parameters
    ----------
    X, size, channels, skip_bad, progress
        As in `as_images`.

    Raises
    ------
    DataError
        If there are several classes, none of which is known to be the normal one.
    """
    X = opened(X, size=size, channels=channels, skip_bad=skip_bad, progress=progress)
    if not isinstance(X, ImageSet):
        return as_images(X)
    return take_images(X.images, training_index(X))


def training_index(X: SampleSet) -> NDArray[np.int64]:
    """Return the places of the samples to fit on, which are of one class; see `training_images`.

    Raises
    ------
    DataError
        If there are none, or several classes.
    """
    index = np.arange(len(X)) if X.is_test is None else np.flatnonzero(~X.is_test)
    if len(index) == 0:
        raise DataError(f"{X.name} has nothing to train on: all of it belongs to its test part.")
    present = np.unique(X.labels[index])
    if len(present) > 1:
        normal = [label for label in present if X.class_names[label] in X.normal_classes]
        if len(normal) == 1:
            selected: NDArray[np.int64] = index[X.labels[index] == normal[0]]
            return selected
        names = ", ".join(X.class_names[label] for label in present[:5])
        names += ", …" if len(present) > 5 else ""
        raise DataError(
            f"{X.name} has {len(present)} classes to train on ({names}): "
            "name the normal one, or all that are normal, with OneClassSplit(data, normal) or "
            "--normal."
        )
    return index


def opened(
    X: Any,
    *,
    size: Size | None = None,
    fit: Fit | None = None,
    channels: int | None = None,
    skip_bad: bool = False,
    progress: bool | None = None,
) -> Any:
    """Return the `ImageSet` of a path, a name or a list of paths; other inputs as they are."""
    if isinstance(X, (str, os.PathLike)):
        return load_dataset(
            X, size=size, fit=fit, channels=channels, skip_bad=skip_bad, progress=progress
        )
    if isinstance(X, (list, tuple)) and X and all(isinstance(x, (str, os.PathLike)) for x in X):
        return load_paths(
            X, size=size, fit=fit, channels=channels, skip_bad=skip_bad, progress=progress
        )
    return X


def training_groups(X: Any) -> NDArray[np.int64] | None:
    """Return the groups of the training samples of a `SampleSet`; None if it has none."""
    if not isinstance(X, SampleSet) or X.groups is None:
        return None
    return X.groups[training_index(X)]


def _unmasked(X: Any) -> Any:
    """Refuse masked values; return a masked array without any as a plain array."""
    if not isinstance(X, np.ma.MaskedArray):
        return X
    # Of records, which are refused for what they are, each field has a mask.
    masked = 0 if X.dtype.names else int(np.ma.getmaskarray(X).sum())
    if masked:
        raise DataError(
            f"{masked} of the {X.size} values of the masked array are masked, and no detector "
            "knows what stands there: fill them with X.filled(value), or leave those samples out."
        )
    return np.ma.getdata(X)


def holds_images(X: Any) -> bool:
    """Whether this is an image of PIL, or a list of such images or of arrays of single ones."""
    if isinstance(X, Image.Image):
        return True
    return (
        isinstance(X, (list, tuple))
        and bool(X)
        and all(
            isinstance(item, Image.Image) or (isinstance(item, np.ndarray) and item.ndim in (2, 3))
            for item in X
        )
    )


def _from_list(items: Sequence[Any], canvas: Canvas | None = None) -> NDArray[Any]:
    """Stack single images, on a canvas if they differ in size; grey ones become RGB among RGB."""
    arrays = []
    for item in items:
        if isinstance(item, Image.Image):
            try:
                arrays.append(image_to_array(item))
            except (OSError, ValueError, SyntaxError) as error:
                raise DataError(f"An image in the list cannot be read: {reason(error)}.") from error
        else:
            item = _unmasked(item)
            arrays.append(item[..., None] if item.ndim == 2 else item)
    empty = [array for array in arrays if not array.size]
    if empty:
        shape = "×".join(map(str, empty[0].shape))
        raise DataError(
            f"{len(empty)} of the {len(arrays)} images in the list hold no pixels (such as one of "
            f"{shape}): leave them out."
        )
    if 0 < sum(array.shape[2] == 3 for array in arrays) < len(arrays):
        arrays = [np.repeat(a, 3, axis=2) if a.shape[2] == 1 else a for a in arrays]
    sizes = {array.shape[:2] for array in arrays}
    types = sorted({array.dtype.name for array in arrays})
    if len(types) > 1 and "uint8" in types:
        raise DataError(
            f"The images in the list are of different types ({', '.join(types)}), so that their "
            "values cannot be compared: convert them to one."
        )
    if canvas is None and len(sizes) > 1:
        canvas = choose_canvas([array.shape[:2] for array in arrays])
        warnings.warn(canvas.describe(len(arrays)), stacklevel=4)
    if canvas is not None and sizes != {canvas.size}:
        lying = canvas.content
        arrays = [
            on_canvas(resized(a, lying(*a.shape[:2]), a.shape[2]), canvas.size)
            if a.dtype in DTYPES
            else a
            for a in arrays
        ]
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) > 1:
        seen = ", ".join("×".join(map(str, shape)) for shape in shapes[:4])
        raise DataError(
            f"The images in the list differ in shape ({seen}): resize them to one size."
        )
    return np.stack(arrays)


def _checked(values: NDArray[Any]) -> NDArray[Any]:
    """Check rank, channels, type and values; convert what can be without loss."""
    if values.dtype.kind not in "iuf":
        raise DataError(f"Images hold uint8 or floating-point numbers, but got {values.dtype}.")
    if values.shape == (0,):
        raise DataError("Got an empty list; check the pattern of names that made it.")
    if values.ndim not in (3, 4):
        raise DataError(
            f"Expected images of shape N×H×W×C or N×H×W, or a 2-D table, but got an array of "
            f"{values.ndim} dimensions, shape {values.shape}; one single image is images[None]."
        )
    if values.size == 0:
        raise DataError(f"There are no images in an array of shape {values.shape}.")
    check_axes(values)
    if values.ndim == 3:
        values = values[..., None]
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        return values.astype(np.uint16, copy=False)  # in the byte order of the machine
    if values.dtype.kind in "iu":
        if values.min() < 0 or values.max() > 255:
            raise DataError(
                f"Images of type {values.dtype} lie in 0…255, but got "
                f"{values.min()}…{values.max()}; scale them, or give uint16 or floats."
            )
        return values.astype(np.uint8)
    with np.errstate(over="ignore"):
        values = values.astype(np.float32, copy=False)
    rows = max(1, FINITE_CHUNK // max(1, values[0].size))
    for start in range(0, len(values), rows):
        check_magnitude(values[start : start + rows], "Images")
    return values


def check_magnitude(values: NDArray[Any], what: str) -> None:
    """Refuse numbers that are not finite, or so large that their squares would not be.

    Parameters
    ----------
    values : ndarray
        Of any shape.
    what : str
        What they are, as the subject of the sentence.

    Raises
    ------
    DataError
        If there are any.
    """
    largest = float(np.max(np.abs(values), initial=0.0))
    if not math.isfinite(largest):
        raise DataError(f"{what} contain NaN or infinite values: replace or remove them.")
    if largest > LARGEST:
        raise DataError(
            f"{what} contain values up to {largest:.3g}, which are too large to compute with: "
            f"rescale them to at most {LARGEST:.0g}."
        )
