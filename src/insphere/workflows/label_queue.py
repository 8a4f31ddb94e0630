"""A queue of samples to label, as a table that a person fills in and `insphere fit` reads."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.atomic import write_whole
from insphere.data.image_set import ImageSet
from insphere.data.pixels import resized
from insphere.detectors.base.by_class import ByClass
from insphere.errors import DataError
from insphere.explain.label_queue import most_useful
from insphere.safe_text import csv_row
from insphere.workflows.score_source import Scored

COLUMNS = ("path", "review", "score", "verdict")
SIDE = 16  # pixels of images that are compared where the detector has no features
PART = 512


@dataclass(frozen=True, eq=False)
class LabelQueue:
    """Samples to label, the most useful first.

    Parameters
    ----------
    scored : Scored
        All samples and their scores.
    rows : ndarray of int64, shape (n,)
        Rows of `scored`.
    """

    scored: Scored
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def table(self) -> list[dict[str, Any]]:
        """Return a row for each sample: path, review (empty), score and verdict."""
        scored = self.scored
        if scored.data.paths is None:
            raise DataError(
                f"The samples of {scored.data.name} are no files, so that they cannot be named in "
                "a table of reviews: give a folder."
            )
        flagged = scored.flagged
        return [
            {
                "path": str(Path(scored.data.paths[int(scored.index[row])]).absolute()),
                "review": "",
                "score": float(scored.scores[row]),
                "verdict": "anomalous" if flagged[row] else "normal",
            }
            for row in self.rows.tolist()
        ]

    def write(self, path: str | PathLike[str]) -> None:
        """Write the table as CSV; `insphere.workflows.refitting.read_reviews` reads it."""
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(csv_row, self.table()))
        write_whole(Path(path), text.getvalue(), "The queue")


def label_queue(scored: Scored, n: int = 20) -> LabelQueue:
    """Choose the samples whose labels are worth most; see `insphere.explain.label_queue`.

    Parameters
    ----------
    scored : Scored
        New samples, scored.
    n : int
        How many.

    Raises
    ------
    SpecError
        If the detector has no threshold, or `n` is less than 1.
    """
    scored.detector.require_threshold()
    vectors = sample_vectors(scored)
    return LabelQueue(scored, most_useful(scored.scores, scored.detector.threshold_, vectors, n))


def sample_vectors(scored: Scored) -> NDArray[np.float64]:
    """Return a vector for each scored sample: the detector's features, or small images.

    Raises
    ------
    DataError
        If the samples are neither.
    """
    detector: Any = scored.detector
    if hasattr(detector, "transform"):
        return np.asarray(detector.transform(scored.images), np.float64)
    if isinstance(scored.data, ImageSet):
        height, width, channels = scored.data.images.shape[1:]
        if max(height, width) <= SIDE:
            return scored.images.reshape(len(scored), -1).astype(np.float64)
        images = scored.images
        small = [
            resized(image, (min(height, SIDE), min(width, SIDE)), channels) for image in images
        ]
        return np.stack(small).reshape(len(scored), -1).astype(np.float64)
    if isinstance(detector, ByClass):
        data = detector._read(scored.images)
        parts = [detector._represent(data[s : s + PART]) for s in range(0, len(data), PART)]
        return np.concatenate(parts).reshape(len(data), -1).astype(np.float64)
    raise DataError(
        f"{type(detector).__name__} has no features in which {detector.modality_.plural} can be "
        "compared: use a method such as deep-svdd."
    )
