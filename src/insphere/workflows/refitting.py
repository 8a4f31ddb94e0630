"""Training again with photos that a person reviewed: what is added is said, nothing is replaced."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from insphere.data.files import IMAGE_SUFFIXES
from insphere.data.image_set import ImageSet
from insphere.data.inputs import training_groups, training_index
from insphere.data.load import load_paths
from insphere.data.read_options import ReadOptions
from insphere.detectors.base.estimator import OneClassDetector
from insphere.detectors.model_folder import load_detector
from insphere.errors import DataError, SpecError
from insphere.parsing import read_regular
from insphere.safe_text import shown_path
from insphere.scoring.reviews import ReviewCounts
from insphere.workflows.provenance import provenance_of, read_like_training, trained_on
from insphere.workflows.score_source import trained_image_shape

GOOD = ("good", "normal", "false-alarm", "false alarm", "false")
ANOMALOUS = ("anomalous", "anomaly", "defect", "right", "right-alarm", "right alarm")
MOST_BYTES = 100_000_000  # of a table of reviews


@dataclass(frozen=True)
class Reviews:
    """Photos that a person looked at.

    Parameters
    ----------
    good, anomalous : tuple of pathlib.Path
        What they were called.
    """

    good: tuple[Path, ...]
    anomalous: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.good) + len(self.anomalous)


@dataclass(frozen=True, eq=False)
class Refit:
    """A detector that was trained again.

    Parameters
    ----------
    detector : OneClassDetector
        The new one.
    n_before, n_added, n_known : int
        Normal photos that it had before, that were added, and that were reviewed but are among
        those before already.
    n_anomalous : int
        Reviewed anomalies; they are not trained on.
    counts : ReviewCounts
        The verdicts of the detector before on the reviewed photos.
    same_normals : bool
        Whether the normals that were given are those that the detector before was trained on.
    seconds : float
        Wall time of the training.
    """

    detector: OneClassDetector
    n_before: int
    n_added: int
    n_known: int
    n_anomalous: int
    counts: ReviewCounts
    same_normals: bool
    seconds: float

    def sentences(self) -> list[str]:
        """Say what was added, and what the reviews say about the detector before."""
        said = [
            f"{self.n_added:,} reviewed good photos are added to the {self.n_before:,} before, for "
            "training and for calibration; "
            f"{self.n_anomalous:,} reviewed anomalies are not trained on."
        ]
        if self.n_known:
            said.append(f"{self.n_known:,} reviewed good photos were among the normals already.")
        if not self.same_normals:
            said.append(
                "The normals that were given are not the ones that the model was trained on."
            )
        right = self.counts.right_alarms()
        if right.total:
            said.append(
                f"Of {right.total:,} reviewed alarms of the model before, {right.count:,} were "
                f"right ({100 * right.low:.0f} to {100 * right.high:.0f} % at 90 % confidence)."
            )
        if self.counts.missed:
            said.append(f"{self.counts.missed:,} anomalies had raised no alarm.")
        return said


def read_reviews(source: str | PathLike[str], photos: str | PathLike[str] | None = None) -> Reviews:
    """Read the reviews of photos.

    Parameters
    ----------
    source : path
        A folder with the subfolders ``good`` and ``anomalous``; or a CSV file with the columns
        ``path`` and ``review``, with one of `GOOD` or `ANOMALOUS` (rows without a review are left
        out).
    photos : path, optional
        Folder to which the paths in a CSV file are relative; by default that of the file.

    Raises
    ------
    DataError
        If it is neither, or there is no review in it.
    """
    place = Path(source)
    if place.is_dir():
        found = Reviews(_images(place / "good"), _images(place / "anomalous"))
    elif place.suffix.lower() == ".csv" and place.is_file():
        found = _from_table(place, place.parent if photos is None else Path(photos))
    else:
        raise DataError(
            f"{shown_path(place)} holds no reviews: give a folder with the subfolders good and "
            "anomalous, or a .csv file with the columns path and review."
        )
    if not len(found):
        raise DataError(f"There are no reviewed photos in {shown_path(place)}.")
    return found


def _images(folder: Path) -> tuple[Path, ...]:
    if not folder.is_dir():
        return ()
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return tuple(path for path in files if path.suffix.lower() in IMAGE_SUFFIXES)


def _from_table(path: Path, folder: Path) -> Reviews:
    try:
        text = read_regular(path, MOST_BYTES).decode("utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text), strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{shown_path(path)} cannot be read as a CSV file.") from error
    if rows and not {"path", "review"} <= rows[0].keys():
        raise DataError(f"{shown_path(path)} needs the columns path and review.")
    good: list[Path] = []
    anomalous: list[Path] = []
    for number, row in enumerate(rows, start=2):
        word = (row["review"] or "").strip().lower()
        if not word:
            continue
        if word not in (*GOOD, *ANOMALOUS):
            raise DataError(
                f"Line {number} of {shown_path(path)} calls a photo {word[:40]!r}: write good or "
                "anomalous."
            )
        (good if word in GOOD else anomalous).append(folder / (row["path"] or ""))
    return Reviews(tuple(good), tuple(anomalous))


def refit(
    model: OneClassDetector | str | PathLike[str],
    normals: str | PathLike[str],
    reviews: Reviews | str | PathLike[str],
    *,
    photos: str | PathLike[str] | None = None,
    progress: bool | None = None,
) -> Refit:
    """Train a detector again with reviewed good photos among its normals.

    Method and settings are those of the model; the model itself is not changed. Reviewed good
    photos become normals like the others: a part of all is held out for the threshold, as before.
    Because mostly alarms are reviewed, good photos that look strange are now more frequent among
    the normals than among new photos. So the threshold errs towards fewer false alarms than
    promised, and less towards more.

    Parameters
    ----------
    model : OneClassDetector or path
        Fitted on images.
    normals : path
        The normal photos that it was trained on.
    reviews : Reviews or path
        See `read_reviews`.
    photos : path, optional
        See `read_reviews`.
    progress : bool, optional
        Show bars; by default if stderr is a terminal.

    Returns
    -------
    Refit

    Raises
    ------
    DataError
        If photos cannot be read, or the model was trained on something else.
    SpecError
        If no good photo is among the reviews.
    """
    before = model if isinstance(model, OneClassDetector) else load_detector(model)
    shape = trained_image_shape(before)
    found = reviews if isinstance(reviews, Reviews) else read_reviews(reviews, photos)
    if not found.good:
        raise SpecError(
            "None of the reviewed photos is called good, so there is nothing to add; give the "
            "anomalies to insphere fit with --anomalies."
        )
    trained = provenance_of(before)
    reading = read_like_training(before, ReadOptions(skip_bad=True))
    if trained is not None:
        reading = reading.model_copy(update={"normal": tuple(trained.normal)})
    data = reading.load(normals, progress=progress)
    own, groups = _normal_part(data, reading)
    _check(own, shape)
    good = _photos(found.good, reading, shape, progress)
    new = _new(good, own)
    counts = _counts(before, good, found.anomalous, reading, shape, progress)
    together = np.concatenate([own, good[new]])
    if groups is not None:
        start = int(groups.max()) + 1
        groups = np.concatenate([groups, start + np.arange(int(new.sum()))])
    detector: OneClassDetector = clone(before)
    started = time.perf_counter()
    detector.fit(together, groups=groups)
    seconds = time.perf_counter() - started
    same = trained is None or trained.fingerprint == data.fingerprint
    detector.trained_on_ = trained_on(data, reading, held_out=False)
    return Refit(
        detector, len(own), int(new.sum()), int((~new).sum()), len(found.anomalous), counts, same,
        seconds,
    )  # fmt: skip


def _normal_part(
    data: ImageSet, reading: ReadOptions
) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
    """Return the normal training images of a source, and their groups."""
    if len(np.unique(data.labels)) == 1 or not reading.normal:
        return data.take(training_index(data)), training_groups(data)
    part = reading.split(data).training
    return part.take(training_index(part)), training_groups(part)


def _photos(
    paths: Sequence[Path],
    reading: ReadOptions,
    shape: tuple[int, int, int],
    progress: bool | None,
) -> NDArray[Any]:
    data = load_paths(
        list(paths), size=reading.size or shape[:2], fit=reading.fit or "own",
        channels=reading.channels or (3 if shape[2] == 3 else 1), progress=progress,
    )  # fmt: skip
    images: NDArray[Any] = data.images
    _check(images, shape)
    return images


def _check(images: NDArray[Any], shape: tuple[int, int, int]) -> None:
    if images.shape[1:] != shape:
        found, wanted = ("×".join(map(str, one)) for one in (images.shape[1:], shape))
        raise DataError(f"The photos are {found}, and the model was trained on {wanted}.")


def _new(good: NDArray[Any], own: NDArray[Any]) -> NDArray[np.bool_]:
    """Say which photos are not among the normals already, nor twice among themselves."""
    seen = {hash(one.tobytes()) for one in own}
    fresh = np.zeros(len(good), dtype=bool)
    for row, one in enumerate(good):
        key = hash(one.tobytes())
        fresh[row] = key not in seen
        seen.add(key)
    return fresh


def _counts(
    before: OneClassDetector,
    good: NDArray[Any],
    anomalous: Sequence[Path],
    reading: ReadOptions,
    shape: tuple[int, int, int],
    progress: bool | None,
) -> ReviewCounts:
    if not before.judges:
        return ReviewCounts()
    false = int((before.predict(good) < 0).sum())
    right = 0
    if anomalous:
        right = int((before.predict(_photos(anomalous, reading, shape, progress)) < 0).sum())
    return ReviewCounts(
        right=right, false=false, missed=len(anomalous) - right, confirmed=len(good) - false
    )
