"""Images that visitors bring: a zip is kept as one archive, a drawing is made like a digit."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from insphere.atomic import atomic_path
from insphere.data.load import load_dataset
from insphere.detectors.pretrained.regions import Mask, white_of
from insphere.errors import DataError
from insphere.studio.image_sources import OTHERS
from insphere.web.uploads import LIMITS, Limits, check_zip, one_image, size_in_zip

KEPT_SECONDS = 86_400.0  # for which images that were scored are kept


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
    check_zip(file, limits)
    size = size_in_zip(file, limits)
    data = load_dataset(file, size=size, cache=False, progress=False)
    if len(np.unique(data.labels)) < 2:
        raise DataError(
            "There is only one class in the zip, and methods are compared by a second one: put "
            "normal and other images into separate folders, or, with good photos alone, choose "
            "Inspect my photos on the first page."
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


def keep_new(file: Path, folder: Path, title: str, limits: Limits = LIMITS) -> Path:
    """Keep a zip of images that are to be scored, with folders or without, as it is.

    What was kept for longer than a day is removed.

    Parameters
    ----------
    file, folder, title, limits
        As in `keep_zip`.

    Returns
    -------
    pathlib.Path
        The zip in a folder of its own.

    Raises
    ------
    DataError
        If it is not a zip, exceeds a limit, or an image in it cannot be read.
    """
    check_zip(file, limits)
    size_in_zip(file, limits)  # looks at every header
    place = folder / "new"
    place.mkdir(parents=True, exist_ok=True)
    for old in place.glob("*.zip"):
        if time.time() - old.stat().st_mtime > KEPT_SECONDS:
            old.unlink(missing_ok=True)
    target = place / f"{clean_title(title)}-{uuid4().hex[:6]}.zip"
    shutil.move(file, target)
    return target


def keep_others(photos: Path, folder: Path, title: str) -> Path:
    """Keep photos that have arrived, to be shown as known anomalies.

    Parameters
    ----------
    photos : pathlib.Path
        Their folder, which is moved; see `insphere.studio.arrivals.Arrivals.photos`.
    folder : pathlib.Path
        Folder of uploads.
    title : str
        Name given by the visitor; parts that could be a path are removed.

    Raises
    ------
    DataError
        If no photo has arrived.
    """
    if not any(photos.iterdir()):
        raise DataError("There is no image among these files.")
    target = folder / OTHERS / f"{clean_title(title or 'other images')}-{uuid4().hex[:6]}"
    target.parent.mkdir(parents=True, exist_ok=True)
    return photos.rename(target)


def judged_part(content: bytes, limits: Limits = LIMITS) -> Mask:
    """Decode a picture that is white where photos are judged; see `white_of`.

    Raises
    ------
    DataError
        If it is no image, or too large.
    SpecError
        If it is black.
    """
    return white_of(one_image(content, None, limits, "PNG file"))


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
