"""One detector fitted to one source of images, told by a `FitConfig`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from insphere.data.image_set import ImageSet
from insphere.data.inputs import training_groups, training_index
from insphere.detectors.base.estimator import OneClassDetector
from insphere.errors import SpecError
from insphere.scoring.conformal import Calibration, no_threshold
from insphere.training.callbacks import Callback
from insphere.workflows.fit_config import FitConfig
from insphere.workflows.provenance import trained_on


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
    planned: Callable[[Calibration], None] | None = None,
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
    planned : callable, optional
        Called before the training with how the threshold will be found, and at what cost.
    progress : bool, optional
        Show a bar while images are decoded; by default if stderr is a terminal.

    Raises
    ------
    InsphereError
        If the data or the settings cannot be used.
    """
    config.detector()  # an unknown method or option is said before any reading
    data = config.load(config.source, progress=progress)
    images, normal, held_out = _training_part(data, config)
    detector = config.detector(checkpoint_dir=checkpoints, callbacks=callbacks)
    n = len(training_index(images))
    plan = detector.planned_calibration(n, training_groups(images))
    if plan.kind == "none" and config.report is not None:
        raise SpecError(
            f"A report shows verdicts, and there is {no_threshold(n)}: give more images, "
            "leave the report out, or set contamination to 0.05 for a threshold without a promise."
        )
    if planned is not None:
        planned(plan)
    started = time.perf_counter()
    detector.fit(images)
    seconds = time.perf_counter() - started
    detector.trained_on_ = trained_on(data, config, normal, held_out=held_out)
    return Fit(config, data, normal, detector, seconds)


def _training_part(data: ImageSet, config: FitConfig) -> tuple[ImageSet, tuple[str, ...], bool]:
    """Return training images, names of the normal classes, and whether a share is held out."""
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
