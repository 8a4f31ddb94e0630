"""Estimates of the time of a run, from measurements on this machine.

If the store has finished runs of the same kind, the estimate is their mean. Otherwise a moment of
the training is executed: some steps of each phase, and the scoring of some images. A method that
does not train in steps, or that first computes features of all images with a pretrained network, is
fitted to a few images and to twice as many.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from insphere.data.image_set import take_images
from insphere.data.sample_set import SampleSet
from insphere.data.split import OneClassSplit
from insphere.experiments.runs.run_builder import settings_of
from insphere.experiments.runs.spec import RunSpec
from insphere.experiments.store.run_record import Run
from insphere.workflows.time_to_fit import EnoughSeen, Watch, each_phase

_SAMPLE = 200  # images scored
_FEW = {True: 32, False: 150}  # number of images for a fit, without and with a pretrained network


@dataclass(frozen=True)
class Estimate:
    """The estimated time of a run, and its origin.

    Parameters
    ----------
    seconds : float
        Seconds from the start to the result.
    source : str
        What was measured, in words.
    """

    seconds: float
    source: str


def measure(spec: RunSpec, data: SampleSet) -> Estimate:
    """Execute a moment of each phase, and score some images.

    Parameters
    ----------
    spec : RunSpec
        The run.
    data : SampleSet
        Its data set.

    Raises
    ------
    InsphereError
        If the run is not possible with these images.
    """
    known = settings_of(spec.method)
    pretrained = spec.detector().uses_pretrained
    split = spec.reading.split(data)
    if "callbacks" not in known or pretrained:
        return _from_few(spec, split, _FEW[pretrained])
    phases = each_phase(spec.detector(), split.X_train.shape[1:])
    seconds = 0.0
    for changes in phases:
        changes = {name: value for name, value in changes.items() if spec.params.get(name) != 0}
        seconds += _watched(spec, changes, split)
    quick = {"epochs": 1, "pretrain_epochs": 0, "train_steps": 1}
    if "pretrain_epochs" in known and phases == [{}]:
        quick = {"pretrain_epochs": 1}  # nothing else is trained
    return Estimate(
        seconds + _scoring(spec, split, {name: quick[name] for name in quick if name in known}),
        "measured just now: some steps of each phase on this machine",
    )


def from_runs(spec: RunSpec, runs: Sequence[Run]) -> Estimate | None:
    """Return the mean of finished runs that differ only in class or seed; None without any."""
    alike = [
        run.seconds
        for run in runs
        if run.seconds is not None
        and (run.dataset, run.method, run.params) == (spec.dataset, spec.method, spec.params)
    ]
    if not alike:
        return None
    count = f"{len(alike)} finished run" + ("s" if len(alike) > 1 else "")
    return Estimate(float(np.mean(alike)), f"from {count} like this one")


def _from_few(spec: RunSpec, split: OneClassSplit, few: int) -> Estimate:
    """Fit to some images and to twice as many, score some, and extrapolate linearly."""
    params = {name: value for name, value in spec.params.items() if name != "false_alarm_rate"}
    changed = spec.model_copy(update={"params": params})
    sizes = [min(size, len(split.train)) for size in (few, 2 * few)]
    seconds = []
    for size in (sizes[0], *sizes):  # the first fit also loads what is loaded only once
        started = time.perf_counter()
        detector = changed.detector().fit(split.X_train[:size])
        seconds.append(time.perf_counter() - started)
    sample = take_images(split.X_test, np.arange(min(few, len(split.test))))
    started = time.perf_counter()
    detector.anomaly_score(sample)
    scoring = (time.perf_counter() - started) / len(sample) * len(split.test)
    each = max(0.0, seconds[2] - seconds[1]) / max(1, sizes[1] - sizes[0])
    return Estimate(
        seconds[2] + each * (len(split.train) - sizes[1]) + scoring,
        f"measured just now: fitted to {sizes[0]} and {sizes[1]} of the images on this machine",
    )


def _watched(spec: RunSpec, changes: dict[str, Any], split: OneClassSplit) -> float:
    watch = Watch()
    changed = spec.model_copy(update={"params": spec.params | changes})
    try:
        changed.detector(callbacks=[watch]).fit(split.X_train)
    except EnoughSeen:
        return watch.seconds
    return time.perf_counter() - watch.began


def _scoring(spec: RunSpec, split: OneClassSplit, short: dict[str, Any]) -> float:
    """Return the estimated time to score training and test images, after a short training."""
    changed = spec.model_copy(update={"params": spec.params | short})
    train = split.X_train[: max(2, min(_SAMPLE, len(split.X_train)))]
    detector = changed.detector().fit(train)
    sample = take_images(split.X_test, np.arange(min(_SAMPLE, len(split.test))))
    started = time.perf_counter()
    detector.anomaly_score(sample)
    each = (time.perf_counter() - started) / len(sample)
    return each * (len(split.test) + len(split.train))
