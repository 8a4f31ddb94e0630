"""Image sets from arrays: ``.npz`` archives, ``.npy`` files and whatever else holds numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.data.axes import check_axes
from insphere.data.image_set import ImageSet
from insphere.data.letterbox import Canvas, on_canvas
from insphere.data.npz import open_npz
from insphere.data.pixels import resized
from insphere.errors import DataError
from insphere.natural_sort import natural_key
from insphere.safe_text import reason
from insphere.storage import open_array

# Names of images and labels in archives; the first row is the training part.
KERAS = (("x_train", "y_train"), ("x_test", "y_test"))
MEDMNIST = (
    ("train_images", "train_labels"),
    ("val_images", "val_labels"),
    ("test_images", "test_labels"),
)
PLAIN_IMAGES = ("images", "X", "x", "data")
PLAIN_LABELS = ("labels", "y", "targets")
TEST_NAMES = ("x_test", "test_images")


def load_npz(path: Path, name: str) -> ImageSet:
    """Load an archive with the names that Keras or MedMNIST use, or images and labels alone.

    The validation part of MedMNIST joins the training part.

    Parameters
    ----------
    path : Path
        The ``.npz`` file.
    name : str
        Name of the set.

    Raises
    ------
    DataError
        If the file is damaged, holds pickled objects, or none of the known names.
    """
    with open_npz(path) as archive:
        pairs = _pairs(path, list(archive))
        loaded = [(archive[images], archive.get(labels)) for images, labels in pairs]
    given = [labels is not None for _, labels in loaded]
    if any(given) and not all(given):
        raise DataError(f"{path} has labels for some of its parts only: {', '.join(_keys(pairs))}.")
    parts = [
        images_of(images, f"{key} in {path}")
        for (key, _), (images, _) in zip(pairs, loaded, strict=True)
    ]
    if len({part.shape[1:] for part in parts}) > 1:
        raise DataError(f"The parts of {path} hold images of different shapes.")
    images = parts[0] if len(parts) == 1 else np.concatenate(parts)
    labels, class_names = _labels(
        [labels for _, labels in loaded if labels is not None], len(images), path
    )
    is_test = None
    if len(parts) > 1:
        flags = [
            np.full(len(p), key in TEST_NAMES) for (key, _), p in zip(pairs, parts, strict=True)
        ]
        is_test = np.concatenate(flags)
    return ImageSet(images, labels, class_names, name=name, is_test=is_test)


def load_npy(path: Path, name: str) -> ImageSet:
    """Load a ``.npy`` file of images without labels; pixels stay on disk as a memory map.

    Raises
    ------
    DataError
        If the file is damaged or holds no images.
    """
    try:
        array = open_array(path)
    except ValueError as error:
        raise DataError(f"{path} is not a readable .npy file: {reason(error)}.") from error
    images = images_of(array, str(path))
    return ImageSet(images, np.zeros(len(images), np.int64), ("normal",), name=name)


def _keys(pairs: list[tuple[str, str]]) -> list[str]:
    return [key for pair in pairs for key in pair]


def _pairs(path: Path, keys: list[str]) -> list[tuple[str, str]]:
    for naming in (KERAS, MEDMNIST):
        if naming[0][0] in keys:
            return [pair for pair in naming if pair[0] in keys]
    for images in PLAIN_IMAGES:
        if images in keys:
            return [(images, next((key for key in PLAIN_LABELS if key in keys), ""))]
    raise DataError(
        f"{path} holds {', '.join(keys) or 'nothing'}; expected are x_train, y_train, x_test, "
        "y_test, or train_images, train_labels, test_images, test_labels, or images and labels."
    )


def images_of(values: NDArray[Any], title: str) -> NDArray[Any]:
    """Return numbers of shape N×H×W or N×H×W×C as images N×H×W×C, if they can be kept exactly.

    Parameters
    ----------
    values : ndarray
        Numbers of any type.
    title : str
        What they are, for messages.

    Returns
    -------
    ndarray of uint8, uint16 or float32, shape (N, H, W, C)
        uint8 if they are whole numbers from 0 to 255, uint16 if up to 65535, else float32.

    Raises
    ------
    DataError
        If they have another rank, type or order of axes, are not finite, or there are none.
    """
    if values.ndim not in (3, 4):
        raise DataError(
            f"{title} has shape {values.shape}; images have the shape N×H×W or N×H×W×C."
        )
    if values.size == 0:
        raise DataError(f"{title} holds no images: its shape is {values.shape}.")
    if values.dtype == np.bool_:
        values = values.astype(np.uint8) * np.uint8(255)
    if values.dtype.kind not in "iuf":
        raise DataError(f"{title} holds {values.dtype}; images are numbers, such as uint8.")
    check_axes(values, title)
    if values.dtype not in (np.uint8, np.uint16):
        values = _narrowed(values, title)
    return values[..., None] if values.ndim == 3 else values


def _narrowed(values: NDArray[Any], title: str) -> NDArray[Any]:
    """Return numbers in the smallest of the three types that holds them."""
    low, high = values.min(), values.max()
    fraction = values.dtype.kind == "f" and high <= 1  # 0 and 1 alone are no 8-bit pixels
    for dtype in (np.uint8, np.uint16):
        if low >= 0 and high <= np.iinfo(dtype).max and not fraction:  # NaN is neither
            whole = values.astype(dtype)
            if np.array_equal(whole, values):
                return whole
    with np.errstate(over="ignore"):
        floats = values.astype(np.float32)
    if not np.isfinite(floats).all() or (
        values.dtype.kind in "iu" and (floats.astype(values.dtype) != values).any()
    ):
        raise DataError(
            f"{title} holds {values.dtype} from {low:.4g} to {high:.4g}, which are no finite "
            "numbers or do not fit 32 bits; replace or scale them first."
        )
    return floats


def _labels(
    parts: list[NDArray[Any]], n: int, path: Path
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Join the labels of all parts and name the classes by them."""
    if not parts:
        return np.zeros(n, np.int64), ("normal",)
    for part in parts:
        if part.ndim == 0 or part.size != len(part):
            raise DataError(
                f"{path} has labels of shape {part.shape}: one class for each image is needed."
            )
    values = np.concatenate([part.reshape(-1) for part in parts])
    if len(values) != n:
        raise DataError(f"{path} has {n} images but {len(values)} labels.")
    if values.dtype.kind == "f":
        if not np.array_equal(values, np.round(values)):
            raise DataError(f"{path} has labels that are no whole numbers.")
        values = values.astype(np.int64)
    if values.dtype.kind not in "iubUS":
        raise DataError(f"{path} has labels of type {values.dtype}: numbers or names are needed.")
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8")
    known, labels = np.unique(values, return_inverse=True)
    names = [str(value) for value in known]
    order = sorted(range(len(names)), key=lambda i: natural_key(names[i]))
    rank = np.empty(len(names), np.int64)
    rank[order] = np.arange(len(names))
    return rank[labels.reshape(-1)], tuple(names[i] for i in order)


def convert_images(
    images: NDArray[Any], *, canvas: Canvas | None, channels: int | None
) -> NDArray[Any]:
    """Resize images, and turn them grey or RGB, as far as they are not so already.

    Parameters
    ----------
    images : ndarray of uint8, uint16 or float32, shape (N, H, W, C)
        The images.
    canvas : Canvas, optional
        Height and width wanted, and how images get there.
    channels : {1, 3}, optional
        Channels wanted; grey is the luma of ITU-R 601.

    Returns
    -------
    ndarray of the same type, shape (N, H, W, C)
        The same array if there is nothing to do.
    """
    height, width, found = images.shape[1:]
    canvas = canvas or Canvas(height, width, "stretch")
    channels = channels or found
    if (height, width, found) == (*canvas.size, channels):
        return images
    converted = np.empty((len(images), *canvas.size, channels), images.dtype)
    for source, target in zip(images, converted, strict=True):
        lying = resized(source, canvas.content(height, width), channels)
        target[...] = on_canvas(lying, canvas.size)
    return converted
