"""The record of the training images in a model, and reading new images in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from insphere.data.image_set import ImageSet
from insphere.data.read_options import ReadOptions
from insphere.data.sample_set import SampleSet
from insphere.detectors.base.estimator import OneClassDetector
from insphere.detectors.persistence.model_format import TrainedOn


def trained_on(
    data: SampleSet,
    reading: ReadOptions,
    normal: Sequence[str] = (),
    *,
    held_out: bool = True,
    kind: str | None = None,
    group_by: str | None = None,
) -> TrainedOn:
    """Return the record of the training images of a detector.

    Parameters
    ----------
    data : SampleSet
        All samples of the source.
    reading : ReadOptions
        How it was read and split.
    normal : sequence of str
        Names of the normal classes; by default those of `reading`.
    held_out : bool
        Whether a share of each class was held out from training.
    kind : str, optional
        Key of the kind of data; by default images.
    group_by : str, optional
        By what false alarms were counted.
    """
    size, fit = reading.size, data.fit if isinstance(data, ImageSet) else "stretch"
    if size is None and isinstance(data, ImageSet) and fit != "stretch":
        size = data.image_shape[:2]
    return TrainedOn(
        name=data.name,
        fingerprint=data.fingerprint,
        normal=list(normal or reading.normal),
        size=None if size is None else list(size),
        fit=fit,
        channels=reading.channels,
        test_size=reading.test_size if held_out else None,
        seed=reading.seed,
        kind=kind or "images",
        columns=dict(reading.columns),
        group_by=group_by or "",
    )


def provenance_of(detector: OneClassDetector) -> TrainedOn | None:
    """Return the record of a detector; None if it was fitted to arrays."""
    found: TrainedOn | None = getattr(detector, "trained_on_", None)
    return found


def read_like_training(detector: OneClassDetector, asked: ReadOptions) -> ReadOptions:
    """Complete the reading options with size, fit and channels of the training images.

    Parameters
    ----------
    detector : OneClassDetector
        Fitted on images.
    asked : ReadOptions
        Options that are given; they have priority.
    """
    trained, shape = provenance_of(detector), detector.image_shape_
    size, fit, channels = asked.size, asked.fit, asked.channels
    if trained is not None:
        if size is None and trained.size is not None:
            size = (trained.size[0], trained.size[1])
            fit = fit or trained.fit
        channels = channels or (3 if trained.channels == 3 else 1 if trained.channels else None)
    if channels is None and shape is not None and shape[2] == 3:
        channels = 3  # grey images converted to RGB lose nothing
    update: dict[str, Any] = {"size": size, "fit": fit, "channels": channels}
    update |= {"kind": asked.kind or detector.modality_.key}
    if trained is not None:
        remembered = {f"{role}?": name for role, name in trained.columns.items()}
        update["columns"] = {**asked.columns, **remembered}
    return asked.model_copy(update=update)


def split_of_training(trained: TrainedOn) -> ReadOptions:
    """Return the options that split the source of the training in the same way again."""
    found = ReadOptions(normal=tuple(trained.normal), seed=trained.seed)
    if trained.test_size is None:
        return found
    return found.model_copy(update={"test_size": trained.test_size})
