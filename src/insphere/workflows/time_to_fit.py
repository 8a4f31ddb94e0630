"""How long a training will take, measured on a few images before it begins."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from insphere.data.image_set import ImageSet
from insphere.data.inputs import training_groups, training_index
from insphere.detectors.base.estimator import OneClassDetector
from insphere.detectors.registry import build_detector
from insphere.training.callbacks import Callback
from insphere.workflows.fit_config import FitConfig

MOMENT = 0.7  # seconds of each phase of a training in steps
_MOST = 200  # images in a step, on which its time depends


class EnoughSeen(Exception):  # noqa: N818 (no error: it ends a measurement)
    """Raised by `Watch` after a moment."""


class Watch(Callback):
    """Measures images a second for a moment, without the first step, and ends the training."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.setup = 0.0
        self.total = 0  # images of all epochs
        self._seen, self._from = 0, 0.0

    def phase_start(self, phase: str, epochs: int, done: int, images: int) -> None:
        """Note how much there is to do."""
        self.setup = time.perf_counter() - self.began
        self.total = epochs * images

    def batch_end(self, phase: str, images: int) -> None:
        """Count, and raise `EnoughSeen` after `MOMENT` seconds."""
        now = time.perf_counter()
        if not self._from:
            self._from = now
            return
        self._seen += images
        if now - self._from > MOMENT:
            raise EnoughSeen

    @property
    def seconds(self) -> float:
        """Estimated time of the whole phase."""
        if not self._seen:
            return 0.0
        rate = self._seen / (time.perf_counter() - self._from)
        return self.setup + self.total / rate


def seconds_to_fit(config: FitConfig, data: ImageSet, n: int) -> float:
    """Measure a training on a few images, and return the seconds for n.

    Nothing of it is kept. The cost of a training grows with the number of images, from a fixed
    part on; the detectors without a part of the images of small sets are counted in. Of a network
    that is trained in steps, a moment of each phase is executed.
    """
    plan = config.detector().planned_calibration(n, training_groups(data))
    if {"callbacks", "epochs"} <= set(config.detector().get_params(deep=False)):
        return plan.trainings * _in_steps(config, data, n)
    few, more = (min(count, n) for count in (4, 8))
    rows = training_index(data)[:more]
    took = []
    for count in (few, more):
        detector = build_detector(config.method, without_threshold(config), seed=config.seed)
        started = time.perf_counter()
        detector.fit(data.take(rows[:count]))
        took.append(time.perf_counter() - started)
    each = max((took[1] - took[0]) / max(more - few, 1), took[1] / more / 4)
    return plan.trainings * (took[0] + each * (n - few))


def _in_steps(config: FitConfig, data: ImageSet, n: int) -> float:
    some = data.take(training_index(data)[:8])
    images = some[np.arange(min(n, _MOST)) % len(some)]
    options = without_threshold(config)
    seconds = 0.0
    for changes in each_phase(config.detector(), images.shape[1:]):
        watch = Watch()
        detector = build_detector(
            config.method, options | changes, seed=config.seed, callbacks=[watch]
        )
        try:
            detector.fit(images)
        except EnoughSeen:
            seconds += watch.seconds
        else:
            seconds += time.perf_counter() - watch.began
    return seconds


def each_phase(detector: OneClassDetector, shape: tuple[int, ...]) -> list[dict[str, Any]]:
    """Return the changes of parameters with which a moment of each phase can be seen.

    Parameters
    ----------
    detector : OneClassDetector
        A detector that trains in steps, not fitted.
    shape : tuple of int
        (H, W, C) of images, or (F,).
    """
    from insphere.detectors.base.network_state import best_encoder
    from insphere.detectors.spheres.deep_svdd import DeepSVDD

    given = detector.get_params(deep=False)
    if "pretrain_epochs" not in given:
        return [{}]
    later: dict[str, Any] = {"pretrain_epochs": 0}
    if isinstance(detector, DeepSVDD):
        channels_first = (*shape[2:], *shape[:2])
        if not detector.trains_head(channels_first):
            return [{}]
        if detector.takes_best(channels_first):  # without pretraining it would be another network
            return [{}, later | {"encoder": best_encoder(given["encoder"])}]
    return [{"epochs": 1}, later]


def without_threshold(config: FitConfig) -> dict[str, Any]:
    """Return the options of a detector whose threshold does not count."""
    options = {name: value for name, value in config.options.items() if name != "calibration"}
    return options | {"contamination": 0.0}
