"""Snapshots during the training of a sphere: AUC by epoch, and representations in a plane.

They are saved with the run, for information only. They use test images and their labels. Nothing in
the training is selected, stopped or tuned with them.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.data.image_set import take_images
from insphere.data.split import OneClassSplit
from insphere.errors import DataError
from insphere.parsing import parse_json
from insphere.scoring.metrics import evaluate_scores
from insphere.training.callbacks import Callback, Record
from insphere.training.images import TrainingImages

FILE = "live.jsonl"
WATCHED = 400  # images whose scores give the AUC of an epoch
SHOWN = 240  # number of these that are drawn
EVERY = 0.5  # seconds between two snapshots at least; more in long trainings
SHARE = 0.01  # of the time so far


@dataclass(frozen=True)
class Snapshot:
    """A snapshot after one epoch.

    Parameters
    ----------
    epoch : int
        Counted from 1.
    auc : float
        AUC on the watched images, 0 to 1.
    radius : float
        Radius of the sphere.
    points : ndarray of float, shape (n, 2)
        Positions of images. Their distance to the origin is their true distance to the centre.
        Their direction is a projection on the two principal directions of the first snapshot,
        around the mean of the watched images.
    truth : ndarray of int, shape (n,)
        0 is normal, 1 anomalous.
    index : ndarray of int, shape (n,)
        Their positions among the test images.
    """

    epoch: int
    auc: float
    radius: float
    points: NDArray[np.float64]
    truth: NDArray[np.int64]
    index: NDArray[np.int64]


class LiveView(Callback):
    """A callback that saves snapshots of some test images from time to time.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of the run.
    split : OneClassSplit
        The split whose test images are watched; half of them are normal.
    """

    def __init__(self, folder: Path, split: OneClassSplit) -> None:
        self._path = folder / FILE
        chosen = np.sort(
            np.concatenate([_some(np.flatnonzero(split.truth == kind)) for kind in (0, 1)])
        )
        self._chosen = chosen
        self._images = take_images(split.X_test, chosen)
        self._truth = split.truth[chosen]
        self._drawn = np.linspace(0, len(chosen) - 1, min(SHOWN, len(chosen))).astype(np.int64)
        self._axes: NDArray[np.float64] | None = None
        self._epochs, self._started, self._looked = 0, time.monotonic(), 0.0

    def phase_start(self, phase: str, epochs: int, done: int, images: int) -> None:
        """Store the number of epochs of the phase."""
        self._epochs = epochs

    def look(self, record: Record, objective: Any, images: Any) -> None:
        """Score the watched images, unless the last snapshot is recent."""
        now = time.monotonic()
        pause = max(EVERY, SHARE * (now - self._started))
        if not (hasattr(objective, "center") and isinstance(images, TrainingImages)):
            return
        if not self._truth.any() or self._truth.all():
            return
        if now - self._looked < pause and record["epoch"] not in (1, self._epochs):
            return
        self._looked = now
        z = _represented(objective, images.prepare(self._images))
        distance = np.linalg.norm(z, axis=1)
        if not np.isfinite(distance).all():
            return
        if self._axes is None:
            self._axes = np.linalg.svd(z - z.mean(axis=0), full_matrices=False)[2][:2]
        line = {
            "epoch": record["epoch"],
            "auc": evaluate_scores(self._truth, distance).auc,
            "radius": float(objective.radius),
            "points": np.round(_in_plane(z, distance, self._axes)[self._drawn], 5).tolist(),
            "truth": self._truth[self._drawn].tolist(),
            "index": self._chosen[self._drawn].tolist(),
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def live_view(folder: Path, split: OneClassSplit) -> list[Callback]:
    """Return the callbacks for snapshots; none without both normal and anomalous test images."""
    return [LiveView(folder, split)] if split.has_anomalies and split.has_normals else []


def snapshots(folder: Path) -> list[Snapshot]:
    """Return the snapshots of a run by epoch; empty if there are none."""
    path = folder / FILE
    if not path.is_file():
        return []
    found: dict[int, Snapshot] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            value = parse_json(line.encode(), finite=False)
            found[value["epoch"]] = Snapshot(
                value["epoch"],
                value["auc"],
                value["radius"],
                np.asarray(value["points"], np.float64).reshape(-1, 2),
                np.asarray(value["truth"], np.int64),
                np.asarray(value["index"], np.int64),
            )
        except (ValueError, KeyError, TypeError, DataError):
            continue  # incomplete, from a worker that was killed
    return [found[epoch] for epoch in sorted(found)]


def _represented(objective: Any, batch: Any) -> NDArray[np.float64]:
    """Return φ(x) − c in evaluation mode, and restore the mode."""
    import torch

    training = objective.training
    objective.eval()
    try:
        with torch.no_grad():
            z = torch.cat([objective.encoder(part) for part in batch.split(200)])
    finally:
        objective.train(training)
    difference: NDArray[np.float64] = (z.double() - objective.center.double()).cpu().numpy()
    return difference


def _in_plane(
    z: NDArray[np.float64], distance: NDArray[np.float64], axes: NDArray[np.float64]
) -> NDArray[np.float64]:
    flat = (z - z.mean(axis=0)) @ axes.T
    if flat.shape[1] == 1:
        flat = np.column_stack([flat, np.zeros(len(flat))])
    angle = np.arctan2(flat[:, 1], flat[:, 0])
    return np.column_stack([distance * np.cos(angle), distance * np.sin(angle)])


def _some(index: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return at most half of the watched images, spread evenly."""
    count = min(WATCHED // 2, len(index))
    return index[np.linspace(0, len(index) - 1, count).astype(np.int64)] if count else index
