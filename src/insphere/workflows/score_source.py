"""Scoring a source with a fitted detector.

This module alone decides which images of a source are scored, and how this is described. It is
used by the commands ``score``,
``evaluate``, ``report``, ``drift`` and ``fit --report``, the studio and Python.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.data.contents import Contents, contents_of
from insphere.data.image_set import ImageSet
from insphere.data.progress import Progress
from insphere.data.read_options import ReadOptions
from insphere.data.sample_set import SampleSet
from insphere.data.value_range import shown_as_uint8
from insphere.detectors.base.estimator import OneClassDetector
from insphere.detectors.persistence.model_format import TrainedOn
from insphere.errors import DataError
from insphere.modalities.load import kind_of_source
from insphere.modalities.table import modality
from insphere.scoring.anomalous_share import FEWEST, AnomalousShare, anomalous_share
from insphere.scoring.metrics import Evaluation, evaluate_scores
from insphere.scoring.strata import GroupRate, group_rates
from insphere.scoring.zscores import z_scores
from insphere.workflows.group_by import groups_of
from insphere.workflows.provenance import (
    provenance_of,
    read_like_training,
    split_of_training,
)

CHUNK = 4096  # images between two updates of the bar; a multiple of the batch of every detector


@dataclass(frozen=True, eq=False)
class Scored:
    """The scores of images of a source.

    Parameters
    ----------
    detector : OneClassDetector
        The detector that computed the scores.
    data : SampleSet
        All samples of the source.
    index : ndarray of int64, shape (N,)
        Positions of the scored samples, ascending.
    part : str
        The part of the source, in words: "the test part", "all images", …
    scores : ndarray of float64, shape (N,)
        Anomaly scores.
    truth : ndarray of int64, shape (N,), or None
        0 is normal, 1 is anomalous; None if it is not known.
    normal : tuple of str
        Names of the normal classes; empty if they are not known.
    groups : ndarray of str, shape (N,), or None
        The group by whose calibration samples each sample is judged; None: by all.
    """

    detector: OneClassDetector
    data: SampleSet
    index: NDArray[np.int64]
    part: str
    scores: NDArray[np.float64]
    truth: NDArray[np.int64] | None
    normal: tuple[str, ...]
    groups: NDArray[np.str_] | None = None

    def __len__(self) -> int:
        return len(self.index)

    @property
    def images(self) -> NDArray[Any]:
        """The scored images, as a view if possible."""
        images: NDArray[Any] = self.data.take(self.index)
        return images

    @property
    def shown_images(self) -> NDArray[np.uint8]:
        """The scored images for display, on the range of the training images."""
        return shown_as_uint8(self.images, self.detector.value_range_)

    @cached_property
    def n_outside_range(self) -> int:
        """Number of images with values outside the range of the training images."""
        if not isinstance(self.data, ImageSet):
            return 0
        images = self.images
        return sum(
            int(self.detector.outside_range(images[start : start + CHUNK]).sum())
            for start in range(0, len(images), CHUNK)
        )

    @property
    def contents(self) -> Contents:
        """The contents of the whole source, not only of the scored part."""
        return contents_of(self.data, self.normal)

    @property
    def z_scores(self) -> NDArray[np.float64]:
        """Scores in standard deviations above the mean of normal images."""
        return z_scores(self.scores, self.detector.score_mean_, self.detector.score_std_)

    @property
    def calibrated(self) -> bool:
        """Whether there are calibration images, and so p-values and severities."""
        return self.detector.n_calibration_ > 0

    @property
    def p_values(self) -> NDArray[np.float64]:
        """How rare each score is among normal images; see `OneClassDetector.p_value`."""
        return self.detector.p_values_of(self.scores, self.groups)

    @property
    def severities(self) -> NDArray[np.float64]:
        """Severities of the scores; see `OneClassDetector.severity`."""
        return self.detector.severity_scale(self.scores)

    @property
    def anomalous_share(self) -> AnomalousShare | None:
        """Share of anomalies among the images; None if there are too few to estimate it.

        Nor is there one where scores are ranks among the training samples.
        """
        known = self.detector.calibration_scores_
        if min(len(known), len(self)) < FEWEST or self.detector.parts_:
            return None
        return anomalous_share(known, self.scores)

    @property
    def most_anomalous_first(self) -> NDArray[np.int64]:
        """Rows in descending order of the scores, and so of the severities."""
        order: NDArray[np.int64] = np.argsort(-self.scores, kind="stable")
        return order

    @property
    def judged(self) -> bool:
        """Whether the detector has a threshold, so that there are verdicts."""
        return self.detector.judges

    @property
    def flagged(self) -> NDArray[np.bool_]:
        """Which images are called anomalous."""
        self.detector.require_threshold()
        threshold: Any = self.detector.threshold_
        if self.groups is not None:
            threshold = self.detector.thresholds_for(self.groups)
        beyond: NDArray[np.bool_] = self.scores > threshold
        return beyond

    @property
    def group_rates(self) -> list[GroupRate]:
        """What share of each group is called anomalous, the highest first; empty without groups.

        Of the samples that are truly normal if the truth is known, else of all.
        """
        if self.groups is None or not self.judged:
            return []
        kept = np.ones(len(self), bool) if self.truth is None else self.truth == 0
        return group_rates(self.flagged[kept], self.groups[kept])

    @property
    def has_classes(self) -> bool:
        """Whether the source has several classes."""
        return len(self.data.class_names) > 1

    @property
    def what(self) -> str:
        """Method, source, part and number of images, in words."""
        normal = f" (normal: {', '.join(self.normal)})" if self.normal else ""
        count = f"{len(self):,} {self.detector.modality_.plural}"
        if len(self) == 1:
            count = f"1 {self.detector.modality_.singular}"
        return f"{method_title(self.detector)} on {self.data.name}{normal}, {self.part}: {count}"

    @property
    def verdict(self) -> str:
        """Number and share of anomalous images, as a sentence."""
        if not self.judged:
            return f"No verdicts: there is {self.detector.threshold_rule_}."
        flagged = int(self.flagged.sum())
        beyond = f"the threshold {self.detector.threshold_:.4g}"
        if self.groups is not None:
            beyond = "the thresholds of their groups"
        return (
            f"{flagged:,} of {len(self):,} ({flagged / len(self):.1%}) are anomalous: beyond "
            f"{beyond}."
        )

    def name(self, row: int) -> str:
        """Return the path of a scored image for display, or its position in the source."""
        position = int(self.index[row])
        if self.data.paths is None:
            return str(position)
        return self.data.paths[position].encode("utf-8", "backslashreplace").decode()

    def label(self, row: int) -> str:
        """Return the class name of a scored image."""
        return self.data.class_names[int(self.data.labels[self.index[row]])]

    def evaluate(self) -> Evaluation:
        """Measure the scores against the truth.

        Raises
        ------
        DataError
            If the truth is not known, or there is only one kind of image.
        """
        if self.truth is None:
            if not self.has_classes:
                raise DataError(
                    f"The truth about {self.data.name} is not known, because its "
                    f"{self.detector.modality_.plural} are of one class: "
                    f"{self.detector.modality_.how_to_label}."
                )
            raise DataError(
                f"The truth about {self.data.name} is not known: say with normal= which of its "
                f"classes are normal ({_some(self.data.class_names)})."
            )
        if not self.judged:
            return evaluate_scores(self.truth, self.scores)
        return evaluate_scores(self.truth, self.scores, self.detector.threshold_, self.flagged)


def method_title(detector: OneClassDetector) -> str:
    """Return the name of a detector's method for tables."""
    return detector.card.title or type(detector).__name__


def score_source(
    detector: OneClassDetector,
    source: str | PathLike[str],
    reading: ReadOptions | None = None,
    *,
    every_image: bool = False,
    group_by: str | None = None,
    progress: bool | None = None,
) -> Scored:
    """Read a source in the same way as the training images, and score it.

    Parameters
    ----------
    detector : OneClassDetector
        Fitted on images.
    source : str or path
        Name, file, folder or zip.
    reading : ReadOptions, optional
        How to read it. By default size and channels are those of the training, and the normal
        classes are those trained on, if the source has them.
    every_image : bool
        Score all images of the source, including those trained on; see `part_to_score`.
    group_by : str, optional
        Judge each sample by the calibration samples of its own group; see
        `insphere.workflows.group_by.groups_of`.
    progress : bool, optional
        Show bars while images are decoded and scored; by default if stderr is a terminal.

    Raises
    ------
    DataError
        If the source cannot be read or its images do not fit the detector.
    """
    trained = detector.modality_
    reading = read_like_training(detector, reading or ReadOptions())
    kind = kind_of_source(source, reading.kind)
    if not isinstance(trained, kind):
        raise DataError(f"The model was trained on {trained.noun} and cannot score {kind.noun}.")
    data = kind.load(os.fspath(source), reading, progress=progress)
    if isinstance(data, ImageSet):
        _check_shape(data, trained_image_shape(detector))
    return score_data(
        detector,
        data,
        reading.normal,
        every_image=every_image,
        group_by=group_by,
        progress=progress,
    )


def score_data(
    detector: OneClassDetector,
    data: SampleSet,
    normal: Sequence[str] = (),
    *,
    every_image: bool = False,
    group_by: str | None = None,
    progress: bool | None = None,
) -> Scored:
    """Score the images of a loaded source that `part_to_score` selects.

    Parameters
    ----------
    detector, every_image, group_by, progress
        As in `score_source`.
    data : SampleSet
        All samples of the source.
    normal : sequence of str
        Names of the normal classes; by default those trained on, if the source has them.

    Raises
    ------
    DataError
        If the source has no such class.
    """
    trained = provenance_of(detector)
    index, part = part_to_score(data, trained, every_image=every_image)
    names = _normal_names(data, tuple(normal), trained)
    concerning = data.concerning(names)[index]
    if not every_image and 0 < concerning.sum() < len(index):
        index, part = index[concerning], f"{part}, without other classes and their anomalies"
    groups = None
    if group_by is not None:
        groups = groups_of(data, group_by, index)
        detector.thresholds_for(groups)  # refuses a model without groups before it scores
    scored = score_images(detector, data, index, part, names, progress=progress)
    return scored if groups is None else replace(scored, groups=groups)


def trained_image_shape(detector: OneClassDetector) -> tuple[int, int, int]:
    """Return height, width and channels of the images that a detector takes.

    Raises
    ------
    DataError
        If it takes something else.
    """
    shape = detector.modality_.image_shape
    if shape is None:
        noun = detector.modality_.noun
        raise DataError(f"This model was trained on {noun} and cannot score images.")
    return shape


def score_images(
    detector: OneClassDetector,
    data: SampleSet,
    index: NDArray[np.int64],
    part: str,
    normal: tuple[str, ...],
    *,
    progress: bool | None = None,
) -> Scored:
    """Score the samples of `data` at `index`; for the other parameters see `Scored`."""
    scores = np.empty(len(index))
    step = CHUNK if data.samples_are_rows else max(1, len(index))
    with Progress("Scoring", len(index), show=progress) as bar:
        for start in range(0, len(index), step):
            chunk = index[start : start + step]
            scores[start : start + len(chunk)] = detector.anomaly_score(data.take(chunk))
            bar.advance(len(chunk))
    truth = None
    if normal:
        classes = [data.class_index(name) for name in normal]
        truth = (~np.isin(data.labels[index], classes)).astype(np.int64)
    return Scored(detector, data, index, part, scores, truth, normal)


def part_to_score(
    data: SampleSet, trained: TrainedOn | None, *, every_image: bool = False
) -> tuple[NDArray[np.int64], str]:
    """Select the images of a source that are scored.

    If the source has a test part, these are the images of that part. If it is the data that the
    detector was trained on, these are the images that were held out. Otherwise all images.

    Parameters
    ----------
    data : SampleSet
        All samples of the source.
    trained : TrainedOn or None
        The record of the training images, if there is one.
    every_image : bool
        Select all images in all cases.

    Returns
    -------
    index : ndarray of int64, shape (N,)
        Positions of the images, ascending.
    part : str
        The part, in words: "the test part", "the images held out from training",
        "all images", "all images, also those trained on".
    """
    every = np.arange(len(data))
    if not every_image and data.is_test is not None and data.is_test.any():
        return np.flatnonzero(data.is_test), "the test part"
    plural = "images" if trained is None else modality(trained.kind).plural
    if trained is None or data.fingerprint != trained.fingerprint:
        return every, f"all {plural}"
    if trained.test_size is None or every_image:
        return every, f"all {plural}, also those trained on"
    return split_of_training(trained).split(data).test, f"the {plural} held out from training"


def _normal_names(
    data: SampleSet, given: tuple[str, ...], trained: TrainedOn | None
) -> tuple[str, ...]:
    if given:
        return tuple(data.class_names[data.class_index(name)] for name in given)
    if trained is None or len(data.class_names) == 1:
        return ()
    known = all(name in data.class_names for name in trained.normal)
    return tuple(trained.normal) if known else ()


def _check_shape(data: ImageSet, wanted: tuple[Any, ...]) -> None:
    if data.image_shape == wanted:
        return
    height, width, channels = wanted
    steps = []
    if data.image_shape[:2] != (height, width):
        size = f"{height}" if height == width else f"{height}x{width}"
        steps.append(f"resize them with size={size}")
    if data.image_shape[2] != channels:
        colour = "grey" if channels == 1 else "RGB"
        steps.append(f"turn them {colour} with channels={channels}")
    found, expected = ("×".join(map(str, shape)) for shape in (data.image_shape, wanted))
    raise DataError(
        f"The model was trained on images of {expected}, but those of {data.name} are {found}: "
        f"{' and '.join(steps)}."
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
