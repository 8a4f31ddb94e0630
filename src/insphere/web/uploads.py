"""Limits for what strangers send, and the check of a zip before anything in it is decoded."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from PIL import Image

from insphere.data.files import is_image_name
from insphere.data.pixels import open_image
from insphere.errors import DataError

ENCRYPTED = 0x1  # the bit in the flags of a zip member
UNREADABLE = (
    *(OSError, ValueError, SyntaxError, EOFError, RuntimeError, zlib.error),
    *(NotImplementedError, zipfile.BadZipFile),
)


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


def check_zip(file: Path | IO[bytes], limits: Limits) -> list[zipfile.ZipInfo]:
    """Return the images of a zip after checking its directory; nothing is unpacked.

    Parameters
    ----------
    file : path or file
        The zip.
    limits : Limits
        What is accepted.

    Raises
    ------
    DataError
        If it is no zip, is encrypted, or exceeds a limit.
    """
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
    return members


def headers(file: Path | IO[bytes], limits: Limits) -> Iterator[tuple[str, bytes, Image.Image]]:
    """Yield name, content and header of each image of a zip, until there are too many pixels.

    Only the headers are read, so that too many pixels are refused before an image is decoded.

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
                image = open_image(content)
            except Image.DecompressionBombError as error:
                raise DataError(f"{member.filename[:80]} is too large: {error}.") from error
            except UNREADABLE as error:
                raise DataError(f"{member.filename[:80]} in the zip is no image.") from error
            pixels += image.height * image.width
            if pixels > limits.all_pixels:
                raise DataError(
                    f"The images of the zip have more than {limits.all_pixels // 1_000_000:,} "
                    "million pixels together; make them smaller, or upload fewer."
                )
            yield member.filename, content, image
