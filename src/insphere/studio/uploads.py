"""Uploaded images: checked against limits, decoded, and saved as one archive."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from insphere.atomic import atomic_path
from insphere.data.load import load_dataset
from insphere.data.pixels import image_to_array, open_image
from insphere.errors import DataError
from insphere.web.uploads import Limits, check_zip, headers

LIMITS = Limits()


def keep_zip(file: Path, folder: Path, title: str, limits: Limits = LIMITS) -> Path:
    """Decode a zip of class folders into an archive of images and labels.

    Parameters
    ----------
    file : pathlib.Path
        The zip.
    folder : pathlib.Path
        Folder for the archive; created if it does not exist.
    title : str
        Name given by the visitor; parts that could be a path are removed.
    limits : Limits
        What is accepted.

    Returns
    -------
    pathlib.Path
        The archive. It is complete or not there.

    Raises
    ------
    DataError
        If it is not a zip, exceeds a limit, cannot be decoded, or has fewer than two classes.
    """
    if file.stat().st_size > limits.bytes:
        raise DataError(f"The file is larger than {limits.bytes // 1_000_000} MB.")
    check_zip(file, limits)
    Image.MAX_IMAGE_PIXELS = limits.pixels
    size = _size(file, limits)
    data = load_dataset(file, size=size, cache=False, progress=False)
    if len(np.unique(data.labels)) < 2:
        raise DataError(
            "There is only one class in the zip; put normal and other images into separate "
            "folders, "
            "because the test needs both."
        )
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{clean_title(title)}-{uuid4().hex[:6]}.npz"
    names = np.array(data.class_names)
    arrays: dict[str, NDArray[np.generic]] = {"images": data.images, "labels": names[data.labels]}
    if data.is_test is not None and data.is_test.any():
        train, test = ~data.is_test, data.is_test
        arrays = {
            "x_train": data.images[train],
            "y_train": names[data.labels[train]],
            "x_test": data.images[test],
            "y_test": names[data.labels[test]],
        }
    with atomic_path(target) as partial, partial.open("wb") as out:
        np.savez_compressed(out, allow_pickle=False, **arrays)
    return target


def one_image(content: bytes, shape: tuple[int, int, int], limits: Limits = LIMITS) -> NDArray[Any]:
    """Decode one image to the shape that a detector was trained on.

    Parameters
    ----------
    content : bytes
        The file.
    shape : (int, int, int)
        Height, width, channels.
    limits : Limits
        What is accepted.

    Returns
    -------
    ndarray of uint8, uint16 or float32, shape (H, W, C)

    Raises
    ------
    DataError
        If it is not an image, or too large.
    """
    Image.MAX_IMAGE_PIXELS = limits.pixels
    try:
        return image_to_array(open_image(content), size=shape[:2], channels=shape[2])
    except Image.DecompressionBombError as error:
        raise DataError(f"The image is too large: {error}.") from error
    except (OSError, ValueError, SyntaxError, MemoryError) as error:
        raise DataError(
            "This file is no image, or a damaged one; choose a PNG, JPEG or another common format."
        ) from error


def drawn_digit(image: NDArray[np.uint8], margin: float) -> NDArray[np.uint8]:
    """Centre a drawing and resize it like the digits of the training images.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 1)
        Light strokes on black.
    margin : float
        Share of the side that is empty around the digit.

    Raises
    ------
    DataError
        If the drawing is empty.
    """
    rows, columns = np.flatnonzero(image.any(axis=(1, 2))), np.flatnonzero(image.any(axis=(0, 2)))
    if not len(rows):
        raise DataError("The drawing is empty; draw a digit first.")
    cut = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1, 0]
    side = image.shape[0]
    inner = max(1, round(side * (1 - 2 * margin)))
    scale = inner / max(cut.shape)
    new = (max(1, round(cut.shape[1] * scale)), max(1, round(cut.shape[0] * scale)))
    small = np.asarray(Image.fromarray(cut).resize(new, Image.Resampling.BILINEAR))
    canvas = np.zeros_like(image)
    top, left = (side - small.shape[0]) // 2, (side - small.shape[1]) // 2
    canvas[top : top + small.shape[0], left : left + small.shape[1], 0] = small
    return canvas


def clean_title(text: str) -> str:
    """Return a file name without anything that could be a path.

    Examples
    --------
    >>> clean_title("../../etc/pass wd.zip"), clean_title("..")
    ('pass-wd', 'images')
    """
    stem = re.split(r"[/\\\\]", text)[-1]
    stem = stem.rsplit(".", 1)[0] if "." in stem else stem
    return re.sub(r"[^A-Za-z0-9]+", "-", stem).strip("-")[:40] or "images"


def _size(file: Path, limits: Limits) -> tuple[int, int]:
    """Return one size for all images: the most common one, reduced if it is large.

    Only the headers of the images are read, so that too many pixels are refused before any image
    is decoded.
    """
    sizes = Counter((image.height, image.width) for _, _, image in headers(file, limits))
    height, width = sizes.most_common(1)[0][0]
    scale = min(1.0, limits.side / max(height, width))
    return max(8, round(height * scale)), max(8, round(width * scale))
