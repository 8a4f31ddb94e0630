"""Fitting one detector to one source of images, as a `FitConfig` says."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

import numpy as np
from numpy.typing import NDArray

from insphere.data.image_set import ImageSet
from insphere.data.inputs import training_groups, training_index
from insphere.data.peek import peek
from insphere.data.sample_set import SampleSet
from insphere.detectors.base.estimator import OneClassDetector
from insphere.errors import InsphereError, SpecError
from insphere.modalities.load import kind_of_source
from insphere.modalities.modality import Modality
from insphere.nets.ranks import started_together, together
from insphere.resources import return_freed_memory, rows_within
from insphere.scoring.conformal import Calibration, no_threshold
from insphere.training.callbacks import Callback
from insphere.workflows.choose import FEWEST as FEWEST_TO_CHOOSE
from insphere.workflows.choose import Choice, choose
from insphere.workflows.fit_config import AUTO, FitConfig
from insphere.workflows.group_by import groups_of
from insphere.workflows.group_table import one_group
from insphere.workflows.provenance import trained_on
from insphere.workflows.time_to_fit import seconds_to_fit
from insphere.workflows.training_labels import check_labels, labelled_samples

if TYPE_CHECKING:
    from insphere.detectors.base.trained_network import TrainedNetworkDetector

_LONG = {"epochs", "train_steps", "members"}  # options of methods that train for long
FEWEST = 8
"""Images that a batch holds at least; large images are read smaller for it."""


@dataclass(frozen=True)
class Fit:
    """A fitted detector with its data and settings.

    Parameters
    ----------
    config : FitConfig
        The settings.
    data : SampleSet
        All samples of the source.
    normal : tuple of str
        Names of the normal classes.
    detector : OneClassDetector
        Fitted; ``trained_on_`` records how its images were read.
    seconds : float
        Wall time of fitting.
    n_anomalies : int
        Number of labelled anomalies that were trained on besides.
    choice : Choice, optional
        How the method was chosen, if it was "auto".
    index : ndarray of int64, shape (n,)
        Positions of the normal training samples in `data`.
    """

    config: FitConfig
    data: SampleSet
    normal: tuple[str, ...]
    detector: OneClassDetector
    seconds: float
    n_anomalies: int = 0
    choice: Choice | None = None
    index: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))


@contextmanager
def training_together(config: FitConfig) -> Iterator[bool]:
    """Train with the other processes that torchrun started, if it started any.

    All of them call `fit_source` with the same settings. Each gets the whole detector; the first
    one saves it.

    Yields
    ------
    bool
        Whether this process is the first.

    Raises
    ------
    SpecError
        If the method is to be chosen, which takes another time in each process.
    """
    named = "method" in config.model_fields_set and config.method != AUTO
    if started_together() and not named:
        raise SpecError("Under torchrun name the method, such as --method deep-svdd.")
    with together() as rank:
        yield rank == 0


def fit_source(
    config: FitConfig,
    *,
    checkpoints: Path | None = None,
    callbacks: Sequence[Callback] = (),
    planned: Callable[[Calibration, float | None], None] | None = None,
    progress: bool | None = None,
    choosing: Callable[[str], None] | None = None,
) -> Fit:
    """Read the source, select the normal training samples and fit the detector.

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
    planned : callable, optional
        Called before the training with how the threshold will be found, at what cost, and how many
        seconds that will take. These are None if one training is enough, for a network, whose
        progress is shown, and for what is no image.
    progress : bool, optional
        Show a bar while images are decoded; by default if stderr is a terminal.
    choosing : callable, optional
        Called with a sentence before and after each candidate of the method "auto".

    Raises
    ------
    InsphereError
        If the data or the settings cannot be used.
    """
    kind = kind_of_source(config.source, config.kind)
    asked = "method" in config.model_fields_set
    if not asked:
        config = config.model_copy(update={"method": _usual_method(config, kind)})
    check_labels(config)
    auto = config.method == AUTO
    if not auto:
        config.detector()  # report an unknown method or option before reading any image
    config, data = _read(config, kind, progress)
    images, normal, held_out, classes, index = _training_part(data, config)
    strata = None
    if config.group_by is not None:
        strata = groups_of(data, config.group_by, index)
        if sentence := one_group(strata, kind.plural):
            warnings.warn(sentence, stacklevel=2)
    choice = None
    if auto and not asked and len(training_index(images)) < FEWEST_TO_CHOOSE:
        auto, config = False, config.model_copy(update={"method": kind.method})
    if auto:
        choice = _chosen(images, config, choosing)
        if choice.stopped:
            raise KeyboardInterrupt
        best = choice.best
        config = config.model_copy(
            update={"method": best.method, "options": best.params | config.options}
        )
        check_labels(config)
    detector = config.detector(checkpoint_dir=checkpoints, callbacks=callbacks)
    n = len(training_index(images))
    plan = detector.planned_calibration(n, training_groups(images))
    if plan.kind == "none" and config.report is not None:
        raise SpecError(
            f"A report shows verdicts, and there is {no_threshold(n)}: give more images, "
            "leave the report out, or set contamination to 0.05 for a threshold without a promise."
        )
    if planned is not None:
        planned(plan, _seconds(config, detector, images, n) if plan.needs_parts else None)
    used = index
    if config.anomalies is not None:
        used = np.concatenate([index, _tested(data, config, normal, held_out)])
    known = labelled_samples(
        images, classes, config, data=data, used=used, strata=strata, progress=progress,
    )  # fmt: skip
    started = time.perf_counter()
    detector.fit(known.X, known.y, groups=known.groups, strata=known.strata)
    seconds = time.perf_counter() - started
    detector.trained_on_ = trained_on(
        data, config, normal, held_out=held_out, kind=kind.key, group_by=config.group_by
    )
    return Fit(config, data, normal, detector, seconds, known.n_anomalies, choice, index)


def _seconds(
    config: FitConfig, detector: OneClassDetector, images: SampleSet, n: int
) -> float | None:
    """Measure what is quick to try; None where it is not, or where so few images cannot be used."""
    if not isinstance(images, ImageSet) or detector.card.needs_labels or config.by_class:
        return None
    if _LONG & set(detector.get_params(deep=False)):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # so few images are unusual
            return seconds_to_fit(config, images, n)
    except (InsphereError, ValueError):
        return None


def choose_for(
    config: FitConfig,
    *,
    progress: bool | None = None,
    choosing: Callable[[str], None] | None = None,
) -> Choice:
    """Read the source, and compare methods on its normal training images; nothing is fitted.

    Parameters
    ----------
    config, progress, choosing
        As in `fit_source`.
    """
    data = config.load(config.source, progress=progress)
    return _chosen(_training_part(data, config)[0], config, choosing)


def _usual_method(config: FitConfig, kind: type[Modality]) -> str:
    """Return the method where none was named: for a folder of images, the one that is chosen.

    With settings of a training, such as epochs, it is the usual one, to which they belong.
    """
    if config.anomalies is not None:
        return "deep-sad"
    given = set(config.params) - {"contamination", "false_alarm_rate"}
    folder = kind.key == "images" and Path(config.source).is_dir()
    return AUTO if folder and not given and not config.by_class else kind.method


def _chosen(
    samples: SampleSet, config: FitConfig, choosing: Callable[[str], None] | None
) -> Choice:
    if not isinstance(samples, ImageSet):
        raise SpecError("Methods are compared on images only; for tables, name one with --method.")
    choice = choose(samples, minutes=config.choose_minutes, seed=config.seed, progress=choosing)
    return_freed_memory()
    return choice


def keep_golden_samples(fitted: Fit) -> None:
    """Keep some normal training samples and their scores in the saved model.

    Of texts, series and graphs, which are not exported, none are kept.

    Parameters
    ----------
    fitted : Fit
        Whose detector was saved to the folder that its settings name.
    """
    from insphere.export.golden import drop_golden, keep_golden

    samples = _training_part(fitted.data, fitted.config)[0]
    if fitted.detector.modality_.key in ("images", "tables"):
        some = samples.take(training_index(samples))
        keep_golden(fitted.config.out, some, detector=fitted.detector)
    else:
        drop_golden(fitted.config.out)


def _read(
    config: FitConfig, kind: type[Modality], progress: bool | None
) -> tuple[FitConfig, SampleSet]:
    """Read the samples; images smaller if a network could not be trained on them as they are.

    The headers of large files tell their size, so that these are decoded once.
    """
    detector = None if config.method == AUTO or config.size is not None else config.detector()
    seen = None
    if detector is not None and kind.key == "images" and _trains_network(detector):
        seen = peek(config.source, follow_links=config.follow_links)
    if detector is not None and seen is not None:
        channels = seen.channels if config.channels is None else config.channels
        config = _with_smaller(config, detector, seen.n, (seen.height, seen.width, channels))
    data = kind.load(config.source, config, progress=progress)
    if detector is None or config.size is not None or not isinstance(data, ImageSet):
        return config, data
    smaller = _with_smaller(config, detector, len(data), data.images.shape[1:])
    if smaller is config:
        return config, data
    return smaller, kind.load(smaller.source, smaller, progress=progress)


def _with_smaller(
    config: FitConfig, detector: OneClassDetector, n: int, shape: tuple[int, ...]
) -> FitConfig:
    """Return the settings with the size to read images of this shape at, and say so."""
    smaller = smaller_size(detector, n, shape)
    if smaller is None:
        return config
    height, width = shape[:2]
    warnings.warn(
        f"Images of {height}×{width} are read as {smaller[0]}×{smaller[1]}, so that a batch "
        f"fits the memory for training; size={height}x{width} keeps them as they are.",
        stacklevel=4,
    )
    return config.model_copy(update={"size": smaller})


def _trains_network(detector: OneClassDetector) -> TypeGuard[TrainedNetworkDetector]:
    """Whether a network of its own is trained on the images, in batches that are chosen for it."""
    from insphere.detectors.base.trained_network import TrainedNetworkDetector

    return isinstance(detector, TrainedNetworkDetector) and detector.batch_size is None


def smaller_size(
    detector: OneClassDetector, n: int, shape: tuple[int, ...]
) -> tuple[int, int] | None:
    """Return the size to which large images shrink so that a network can be trained on them.

    Height and width are halved until a batch of `FEWEST` fits the memory for a step (see
    `insphere.resources.step_budget`).

    Parameters
    ----------
    detector : OneClassDetector
        Not fitted.
    n : int
        Number of images.
    shape : tuple (H, W, C)
        Of an image.

    Returns
    -------
    (int, int) or None
        Height and width; None where the images may stay as they are, the method trains no network
        of its own on them, or the user gave a batch size.
    """
    if not _trains_network(detector):
        return None
    from insphere.modalities.table import kind_of
    from insphere.training.step_memory import SMALL_PIXELS, step_bytes

    few = min(FEWEST, n)
    height, width, channels = shape
    size = (height, width)
    while few * size[0] * size[1] > SMALL_PIXELS:
        image = np.zeros((1, *size, channels), dtype=np.uint8)
        modality = kind_of(image).of(image)
        spec = detector.encoder_for(modality)
        if rows_within(step_bytes(spec, modality.sample_shape, decoder=True), few) == few:
            break
        size = (size[0] // 2, size[1] // 2)
    return None if size == (height, width) else size


def _tested(
    data: SampleSet, config: FitConfig, normal: tuple[str, ...], held_out: bool
) -> NDArray[np.int64]:
    """Return the positions of the samples that `insphere evaluate` measures the detector with."""
    if held_out:
        return config.model_copy(update={"normal": normal}).split(data).test
    return np.empty(0, np.int64) if data.is_test is None else np.flatnonzero(data.is_test)


def _training_part(
    data: SampleSet, config: FitConfig
) -> tuple[SampleSet, tuple[str, ...], bool, NDArray[np.str_] | None, NDArray[np.int64]]:
    """Return training samples, normal classes, whether a share was held out, classes, positions.

    The classes are those of the training samples if they were chosen by name.
    """
    has_parts = data.is_test is not None and bool(data.is_test.any())
    normal = config.normal
    if not normal:
        index = training_index(data)
        normal = (data.class_names[int(data.labels[index[0]])],)
        n_training = len(data) if data.is_test is None else int((~data.is_test).sum())
        if len(index) == n_training:
            return data, normal, False, None, index
    names = tuple(data.class_names[data.class_index(name)] for name in normal)
    if not has_parts and len(np.unique(data.labels)) == 1:
        return data, names, False, None, training_index(data)
    split = config.model_copy(update={"normal": names}).split(data)
    classes = np.array(data.class_names)[data.labels[split.train]]
    held_out = not has_parts and config.test_size > 0
    return split.training, names, held_out, classes, split.train
