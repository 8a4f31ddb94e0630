"""Anomalies that are known before training: classes of the same source, or any other images.

A method that learns from labelled anomalies is shown some of them. Images of another source are
read like the normal ones. None of them is an image that is tested.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from insphere.data.datasets.table import DATASETS
from insphere.data.image_set import ImageSet, take_images
from insphere.data.load import load_paths
from insphere.data.read_options import ReadOptions
from insphere.errors import DataError
from insphere.fingerprint import row_keys
from insphere.safe_text import shown_path
from insphere.workflows.refitting import read_reviews

_DRAWN = 11  # a stream of random numbers of its own
_AT_ONCE = 1024  # images that are compared at a time


def _names(value: Any) -> Any:
    """Return names in one order and each once; numbers are names too, as YAML reads the class 3."""
    if not isinstance(value, list) or not all(type(name) in (str, int) for name in value):
        return value
    return sorted({str(name) for name in value})


Names = Annotated[list[str], BeforeValidator(_names), Field(min_length=1)]


class KnownAnomalies(BaseModel):
    """Anomalies that a detector is shown with their label.

    Parameters
    ----------
    classes : list of str, optional
        Names of anomalous classes of the source of the normal samples. They are kept in one order,
        each once.
    source : str, optional
        Any other images instead: a folder, a zip, a file, the name of a data set, or a table of
        reviews (`insphere.workflows.refitting.read_reviews`). Its classes do not count.
    share : float, optional
        Share of all training samples, of which as many are drawn; by default all images of
        `source` are shown. Classes need one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    classes: Names | None = None
    source: str | None = Field(default=None, min_length=1)
    share: float | None = Field(default=None, gt=0, lt=1)

    @model_validator(mode="before")
    @classmethod
    def _may_be_a_source(cls, value: Any) -> Any:
        return {"source": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if (self.classes is None) == (self.source is None):
            raise ValueError("name either classes of the same images, or the source of others")
        if self.classes is not None and self.share is None:
            raise ValueError("say the share of all training samples that these classes make up")
        return self


def draw_anomalies(
    n: int, n_normal: int, share: float | None, seed: int, what: str
) -> NDArray[np.int64]:
    """Draw as many anomalies as make up a share of all training samples.

    Parameters
    ----------
    n : int
        Number of anomalies that there are.
    n_normal : int
        Number of normal training samples.
    share : float or None
        Their share of all training samples; None takes all of them.
    seed : int
        Of the draw.
    what : str
        What there is, for the message: ``"digits has 7 training images of 5"``.

    Returns
    -------
    ndarray of int64
        Sorted positions.

    Raises
    ------
    DataError
        If there are too few; the message says which share is possible.
    """
    if share is None:
        return np.arange(n)
    count = max(1, round(n_normal * share / (1 - share)))
    if count > n:
        most = f": at most {_rounded_down(n / (n + n_normal)):g} is possible" if n else ""
        raise DataError(f"{what}, of the {count:,} that a share of {share:g} takes{most}.")
    rng = np.random.default_rng((seed, _DRAWN))
    return np.sort(rng.choice(n, count, replace=False))


def read_anomalies(
    source: str,
    normals: ImageSet,
    reading: ReadOptions | None = None,
    *,
    progress: bool | None = None,
) -> ImageSet:
    """Read other images like those of a set: in their size and colours, on the same canvas.

    Parameters
    ----------
    source : str
        As in `KnownAnomalies`.
    normals : ImageSet
        The set whose form they get.
    reading : ReadOptions, optional
        What else is said about reading, such as ``skip_bad``.
    progress : bool, optional
        Show a bar while they are decoded; by default if stderr is a terminal.

    Raises
    ------
    DataError
        If there is no such source, it holds no images, or they cannot be read in this form.

    Examples
    --------
    >>> from insphere.data import load_dataset
    >>> read_anomalies("mnist-5k", load_dataset("digits-8x8"), progress=False)
    ImageSet('mnist-5k', 5000 images of 8×8×1, 10 classes)
    """
    check_anomalies(source)
    height, width, channels = normals.image_shape
    reading = reading or ReadOptions()
    like = {"normal": (), "size": (height, width), "channels": channels}
    asked = reading.model_copy(update=like | {"fit": reading.fit or normals.fit})
    try:
        found = _reviewed(source, asked, progress) or asked.load(source, progress=progress)
    except DataError as error:
        raise DataError(f"The anomalies cannot be read: {error}") from error
    if found.images.dtype != normals.images.dtype:
        raise DataError(
            f"The anomalies in {shown_path(source)} are {found.images.dtype} images and the "
            f"normal ones {normals.images.dtype}: store both in the same form."
        )
    return found


def check_anomalies(source: str) -> None:
    """Refuse a source of anomalies that is not there, without reading it.

    Raises
    ------
    DataError
        If there is no file, folder or data set of this name.
    """
    try:
        there = source in DATASETS or Path(source).expanduser().exists()
    except (OSError, ValueError, RuntimeError):  # no path that any system knows
        there = False
    if not there:
        raise DataError(
            f"There are no anomalies in {shown_path(source)}: name a folder or zip of images, or a "
            "data set."
        )


@dataclass(frozen=True, eq=False)
class OtherImages:
    """Images of another source that a detector is shown as anomalies.

    Parameters
    ----------
    images : ndarray, shape (n, H, W, C)
        In the form of the normal images.
    name : str
        What their source is called.
    left_out : int
        How many there were besides that are also normal or tested images.
    """

    images: NDArray[Any]
    name: str
    left_out: int


def other_images(
    source: str,
    data: ImageSet,
    used: NDArray[np.int64],
    *,
    n_normal: int,
    share: float | None = None,
    seed: int = 0,
    reading: ReadOptions | None = None,
    progress: bool | None = None,
) -> OtherImages:
    """Read images of another source, leave out those that have another use, and draw some.

    Parameters
    ----------
    source, reading, progress
        As in `read_anomalies`.
    data : ImageSet
        The source of the normal images.
    used : ndarray of int64
        Positions in it of images that are normal, or are tested.
    n_normal, share, seed
        As in `draw_anomalies`.

    Raises
    ------
    DataError
        If they cannot be read, or there are too few.
    """
    found = read_anomalies(source, data, reading, progress=progress)
    known: set[bytes] = set()
    for start in range(0, len(used), _AT_ONCE):
        known.update(row_keys(data.images[used[start : start + _AT_ONCE]]))
    kept = np.flatnonzero([key not in known for key in row_keys(found.images)])
    if not len(kept):
        raise DataError(
            f"All {len(found)} images of {found.name} are also normal or tested images of "
            f"{data.name}: name others."
        )
    what = f"{found.name} has {len(kept)} images"
    drawn = draw_anomalies(len(kept), n_normal, share, seed, what)
    return OtherImages(take_images(found.images, kept[drawn]), found.name, len(found) - len(kept))


def joined(good: NDArray[Any], bad: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return normal and anomalous images as `fit` takes them, with their labels 0 and -1."""
    labels = np.repeat(np.array([0, -1]), [len(good), len(bad)])
    return np.concatenate([good, bad]), labels


def _rounded_down(share: float) -> float:
    """Round to three digits, but never up."""
    scale = 10.0 ** (2 - math.floor(math.log10(share)))
    return math.floor(share * scale) / scale


def _reviewed(source: str, asked: ReadOptions, progress: bool | None) -> ImageSet | None:
    """Return the images that a table of reviews calls anomalous; None if it is no such table."""
    if Path(source).suffix.lower() != ".csv":
        return None
    paths = read_reviews(source).anomalous
    if not paths:
        raise DataError(
            f"{shown_path(source)} calls no image anomalous: write anomalous into the column "
            "review of those that are."
        )
    return load_paths(
        paths,
        size=asked.size,
        fit=asked.fit,
        channels=asked.channels,
        skip_bad=asked.skip_bad,
        progress=progress,
    )
