"""Uploaded images: checked against limits, decoded, and saved as one archive."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from insphere.atomic import atomic_path
from insphere.data.files import is_image_name
from insphere.data.load import load_dataset
from insphere.data.pixels import image_to_array, open_image
from insphere.errors import DataError

ENCRYPTED = 0x1  # the bit in the flags of a zip member


@dataclass(frozen=True)
class Limits:
    """Limits for uploads.

    Parameters
    ----------
    bytes : int
        Size of the file, and of the whole request.
    unpacked : int
        Bytes of all images of a zip together, unpacked.
    images : int
        Number of images in a zip.
    pixels : int
        Pixels of one image.
    all_pixels : int
        Pixels of all images of a zip together. Decoding costs this much, even if the file is
        small.
    side : int
        Longest side in pixels of the images that are saved. Larger images are reduced.
    """

    bytes: int = 100_000_000
    unpacked: int = 1_000_000_000
    images: int = 20_000
    pixels: int = 40_000_000
    all_pixels: int = 2_000_000_000
    side: int = 64


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
    _check_zip(file, limits)
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


def _check_zip(file: Path, limits: Limits) -> None:
    if file.stat().st_size > limits.bytes:
        raise DataError(f"The file is larger than {limits.bytes // 1_000_000} MB.")
    try:
        with zipfile.ZipFile(file) as archive:
            members = [m for m in archive.infolist() if is_image_name(m.filename)]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError) as error:
        raise DataError(
            "This file is no zip, or a damaged one; pack one folder for each class into a zip."
        ) from error
    if not members:
        raise DataError("There are no images in the zip.")
    if any(member.flag_bits & ENCRYPTED for member in members):
        raise DataError("The zip is encrypted; pack the images again without a password.")
    if len(members) > limits.images:
        raise DataError(
            f"The zip holds {len(members):,} images; at most {limits.images:,} are accepted."
        )
    if sum(member.file_size for member in members) > limits.unpacked:
        raise DataError(
            f"Unpacked, the zip has more than {limits.unpacked // 1_000_000:,} MB; use smaller "
            "images."
        )


def _size(file: Path, limits: Limits) -> tuple[int, int]:
    """Return one size for all images: the most common one, reduced if it is large.

    Only the headers of the images are read, so that too many pixels are refused before any image
    is decoded.
    """
    sizes: Counter[tuple[int, int]] = Counter()
    pixels = 0
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            if not is_image_name(member.filename):
                continue
            try:
                image = open_image(archive.read(member))
            except Image.DecompressionBombError as error:
                raise DataError(f"{member.filename[:80]} is too large: {error}.") from error
            except (OSError, ValueError, SyntaxError, EOFError, RuntimeError, zlib.error,
                    NotImplementedError, zipfile.BadZipFile) as error:  # fmt: skip
                raise DataError(f"{member.filename[:80]} in the zip is no image.") from error
            sizes[image.height, image.width] += 1
            pixels += image.height * image.width
            if pixels > limits.all_pixels:
                raise DataError(
                    f"The images of the zip have more than {limits.all_pixels // 1_000_000:,} "
                    "million pixels together; make them smaller, or upload fewer."
                )
    height, width = sizes.most_common(1)[0][0]
    scale = min(1.0, limits.side / max(height, width))
    return max(8, round(height * scale)), max(8, round(width * scale))
