"""Uploaded images: checked against limits and decoded."""

from __future__ import annotations

import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from numpy.typing import NDArray
from PIL import Image

from insphere.data.files import is_image_name
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


def one_image(
    content: bytes,
    shape: tuple[int, int, int] | None,
    limits: Limits = LIMITS,
    wanted: str = "PNG, JPEG or another common format",
) -> NDArray[Any]:
    """Decode one image to the shape that a detector was trained on.

    Parameters
    ----------
    content : bytes
        The file.
    shape : (int, int, int) or None
        Height, width, channels; None for those that it has.
    limits : Limits
        What is accepted.
    wanted : str
        What to choose instead of a file that is no image.

    Returns
    -------
    ndarray of uint8, uint16 or float32, shape (H, W, C)

    Raises
    ------
    DataError
        If it is not an image, or too large.
    """
    try:
        image = open_image(content, limits.pixels)
        if shape is None:
            return image_to_array(image)
        return image_to_array(image, size=shape[:2], channels=shape[2])
    except Image.DecompressionBombError as error:
        raise DataError(f"The image is too large: {error}.") from error
    except (OSError, ValueError, SyntaxError, MemoryError) as error:
        raise DataError(f"This file is no image, or a damaged one; choose a {wanted}.") from error


def check_zip(file: Path | IO[bytes], limits: Limits = LIMITS) -> None:
    """Check a zip of images against the limits, before any of them is decoded.

    Raises
    ------
    DataError
        If it is not a zip, encrypted, without images, or exceeds a limit.
    """
    if isinstance(file, Path) and file.stat().st_size > limits.bytes:
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


def size_in_zip(file: Path, limits: Limits = LIMITS) -> tuple[int, int]:
    """Return one size for all images of a zip: the most common one, reduced if it is large.

    Only the headers of the images are read, so that too many pixels are refused before any image
    is decoded.
    """
    sizes = Counter((image.height, image.width) for _, _, image in headers(file, limits))
    height, width = sizes.most_common(1)[0][0]
    scale = min(1.0, limits.side / max(height, width))
    return max(8, round(height * scale)), max(8, round(width * scale))


def headers(
    file: Path | IO[bytes], limits: Limits = LIMITS
) -> Iterator[tuple[str, bytes, Image.Image]]:
    """Yield name, content and header of each image of a zip, until there are too many pixels.

    Raises
    ------
    DataError
        If a member is no image, or all images have too many pixels.
    """
    pixels = 0
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            if not is_image_name(member.filename):
                continue
            try:
                content = archive.read(member)
                image = open_image(content, limits.pixels)
            except Image.DecompressionBombError as error:
                raise DataError(f"{member.filename[:80]} is too large: {error}.") from error
            except (OSError, ValueError, SyntaxError, EOFError, RuntimeError, zlib.error,
                    NotImplementedError, zipfile.BadZipFile) as error:  # fmt: skip
                raise DataError(f"{member.filename[:80]} in the zip is no image.") from error
            pixels += image.height * image.width
            if pixels > limits.all_pixels:
                raise DataError(
                    f"The images of the zip have more than {limits.all_pixels // 1_000_000:,} "
                    "million pixels together; make them smaller, or upload fewer."
                )
            yield member.filename, content, image
