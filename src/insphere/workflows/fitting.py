"""One detector fitted to one source of images, told by a `FitConfig`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from insphere.data.image_set import ImageSet
from insphere.data.inputs import training_index
from insphere.data.load import load_dataset
from insphere.data.split import OneClassSplit
from insphere.detectors.base.estimator import OneClassDetector
from insphere.detectors.persistence.model_format import TrainedOn
from insphere.training.callbacks import Callback
from insphere.workflows.fit_config import FitConfig


@dataclass(frozen=True)
class Fit:
    """A fitted detector and what it was fitted to.

    Parameters
    ----------
    config : FitConfig
        What was asked for.
    data : ImageSet
        All images of the source.
    normal : tuple of str
        Names of the normal classes.
    detector : OneClassDetector
        Fitted; ``trained_on_`` says how its images were read.
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
    """Read the source, choose the training normals and fit the detector.

    A source with one class is trained on whole, but for a test part that it defines. Of one with
    several, the classes named in ``config.normal`` are: those of its training part, or, where it
    defines none, all but a share ``config.test_size`` that stays for evaluation.

    Parameters
    ----------
    config : FitConfig
        What to do.
    checkpoints : pathlib.Path, optional
        Folder of checkpoints, for methods that have them.
    callbacks : sequence of Callback
        Followers of the training, for methods that have any.
    progress : bool, optional
        Show a bar while images are decoded; by default if stderr is a terminal.

    Raises
    ------
    InsphereError
        If the data or the settings cannot be used.
    """
    config.detector()  # an unknown method or option is said before any reading
    data = load_dataset(
        config.source,
        size=config.size,
        channels=config.channels,
        skip_bad=config.skip_bad,
        download=config.download,
        progress=progress,
    )
    images, normal, test_size = _training_part(data, config)
    detector = config.detector(checkpoint_dir=checkpoints, callbacks=callbacks)
    started = time.perf_counter()
    detector.fit(images)
    seconds = time.perf_counter() - started
    detector.trained_on_ = TrainedOn(
        name=data.name,
        fingerprint=data.fingerprint,
        normal=list(normal),
        size=None if config.size is None else list(config.size),
        channels=config.channels,
        test_size=test_size,
        seed=config.seed,
    )
    return Fit(config, data, normal, detector, seconds)


def _training_part(
    data: ImageSet, config: FitConfig
) -> tuple[ImageSet, tuple[str, ...], float | None]:
    """Return training images, names of the normal classes, and the share held out if any is."""
    has_parts = data.is_test is not None and bool(data.is_test.any())
    normal = config.normal
    if not normal:
        index = training_index(data)
        normal = (data.class_names[int(data.labels[index[0]])],)
        n_training = len(data) if data.is_test is None else int((~data.is_test).sum())
        if len(index) == n_training:
            return data, normal, None
    names = tuple(data.class_names[data.class_index(name)] for name in normal)
    if not has_parts and len(np.unique(data.labels)) == 1:
        return data, names, None
    split = OneClassSplit(data, list(names), test_size=config.test_size, random_state=config.seed)
    return split.training, names, None if has_parts else config.test_size
