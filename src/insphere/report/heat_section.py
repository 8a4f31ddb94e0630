"""The heat maps of a report: which images get one, and the text about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insphere.explain.extremes import extremes

GRID_SIZE = 24
QUEUE_SIZE = 100


@dataclass(frozen=True, eq=False)
class ReportHeat:
    """Heat maps of the images that a report shows, on one colour scale.

    Parameters
    ----------
    maps : mapping of int to ndarray, shape (H, W)
        By the position of the image.
    threshold, top : float
        Where the colour jumps, and where it ends.
    rate : float
        Share of the images within the score's threshold that exceed the map's somewhere.
    method : str
        How the maps were made, in words.
    """

    maps: Mapping[int, NDArray[np.float32]]
    threshold: float
    top: float
    rate: float
    method: str


def shown_images(scores: ArrayLike, threshold: float, truth: ArrayLike | None) -> NDArray[np.int64]:
    """Return the positions of all images that a report shows, ascending.

    Parameters
    ----------
    scores : array-like of float, shape (N,)
        Anomaly scores.
    threshold : float
        Scores above it are called anomalous.
    truth : array-like of int or bool, shape (N,), optional
        0 for normal, 1 for anomalous.
    """
    values = np.asarray(scores, dtype=np.float64)
    if truth is None:
        return np.sort(extremes(values, QUEUE_SIZE).most_anomalous)
    found = extremes(values, GRID_SIZE, truth)
    parts = [found.most_normal, found.most_anomalous]
    if found.most_anomalous_normals is not None and found.most_normal_anomalies is not None:
        alarms, misses = found.most_anomalous_normals, found.most_normal_anomalies
        parts += [alarms[values[alarms] > threshold], misses[values[misses] <= threshold]]
    return np.unique(np.concatenate(parts))
