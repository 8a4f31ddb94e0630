"""How large the images of a source are, from their headers alone."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from insphere.data.datasets.find import list_as_named
from insphere.data.files import FolderFiles, ImageFiles, ZipFiles
from insphere.data.layouts import list_images
from insphere.data.pixels import has_colours, open_image, shape_of
from insphere.errors import DataError

HEADER = 1 << 16  # bytes in which most files say their size


@dataclass(frozen=True)
class Peeked:
    """What the headers say.

    Parameters
    ----------
    n : int
        Number of images.
    height, width, channels : int
        Of every image.
    """

    n: int
    height: int
    width: int
    channels: int


def peek(source: str | os.PathLike[str], *, follow_links: bool = False) -> Peeked | None:
    """Look at the headers of all images of a folder or zip.

    Parameters
    ----------
    source : str or path
        As in `insphere.data.load_dataset`.
    follow_links : bool
        As there.

    Returns
    -------
    Peeked or None
        None if the source is something else, its images differ in size, or a header cannot be
        read; reading the images will say what is wrong.
    """
    path = Path(source)
    try:
        if path.is_dir():
            return _peek(FolderFiles(path, follow_links=follow_links))
        return _peek(ZipFiles(path)) if path.suffix.lower() == ".zip" else None
    except Exception:  # whatever damaged files lead to; reading them is where it is said
        return None


def _peek(files: ImageFiles) -> Peeked | None:
    if list_as_named(files, "crop") is not None:
        return None
    listing = list_images(files)
    sizes: set[tuple[int, int]] = set()
    channels = 1
    for entry in listing.entries:
        image = _header(files, entry.name)
        sizes.add(shape_of(image, entry.box, entry.border))
        if len(sizes) > 1:
            return None
        channels = 3 if has_colours(image) else channels
    height, width = sizes.pop()
    return Peeked(len(listing.entries), height, width, channels)


def _header(files: ImageFiles, name: str) -> Image.Image:
    """Open an image from its first bytes, or from all if these are not enough."""
    try:
        return open_image(files.head(name, HEADER))
    except (OSError, ValueError, DataError):
        return open_image(files.read(name))
