"""Fitting one detector to one source of images, as a `FitConfig` says."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from insphere.data.image_set import ImageSet
from insphere.data.inputs import training_index
from insphere.detectors.base.estimator import OneClassDetector
from insphere.training.callbacks import Callback
from insphere.workflows.fit_config import FitConfig
from insphere.workflows.provenance import trained_on


@dataclass(frozen=True)
class Fit:
    """A fitted detector with its data and settings.

    Parameters
    ----------
    config : FitConfig
        The settings.
    data : ImageSet
        All images of the source.
    normal : tuple of str
        Names of the normal classes.
    detector : OneClassDetector
        Fitted; ``trained_on_`` records how its images were read.
    seconds : float
        Wall time of fitting.
    """

    config: FitConfig
    data: ImageSet
    normal: tuple[str, ...]
    detector: OneClassDetector
    seconds: float


def fit_source(
    config: FitConfig,
    *,
    checkpoints: Path | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool | None = None,
) -> Fit:
    """Read the source, select the normal training images and fit the detector.

    If the source defines a test part, that part is never trained on. If the source has one class,
    all its other images are used. If it has several classes, those in ``config.normal`` are used:
    the images of the training part, or, if the source defines none, all except a share
    ``config.test_size`` that is held out for evaluation.

    Parameters
    ----------
    config : FitConfig
        The settings.
    checkpoints : pathlib.Path, optional
        Folder of checkpoints, for methods that write them.
    callbacks : sequence of Callback
        Objects that follow the training, for methods that accept them.
    progress : bool, optional
        Show a bar while images are decoded; by default if stderr is a terminal.

    Raises
    ------
    InsphereError
        If the data or the settings cannot be used.
    """
    config.detector()  # report an unknown method or option before reading any image
    data = config.load(config.source, progress=progress)
    images, normal, held_out = _training_part(data, config)
    detector = config.detector(checkpoint_dir=checkpoints, callbacks=callbacks)
    started = time.perf_counter()
    detector.fit(images)
    seconds = time.perf_counter() - started
    detector.trained_on_ = trained_on(data, config, normal, held_out=held_out)
    return Fit(config, data, normal, detector, seconds)


def _training_part(data: ImageSet, config: FitConfig) -> tuple[ImageSet, tuple[str, ...], bool]:
    """Return training images, names of the normal classes, and whether a share was held out."""
    has_parts = data.is_test is not None and bool(data.is_test.any())
    normal = config.normal
    if not normal:
        index = training_index(data)
        normal = (data.class_names[int(data.labels[index[0]])],)
        n_training = len(data) if data.is_test is None else int((~data.is_test).sum())
        if len(index) == n_training:
            return data, normal, False
    names = tuple(data.class_names[data.class_index(name)] for name in normal)
    if not has_parts and len(np.unique(data.labels)) == 1:
        return data, names, False
    split = config.model_copy(update={"normal": names}).split(data)
    return split.training, names, not has_parts
