"""What is known of training samples besides that they are normal: classes, labelled anomalies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.data.image_set import ImageSet
from insphere.data.inputs import training_groups, training_index
from insphere.data.load import load_paths
from insphere.data.sample_set import SampleSet
from insphere.detectors.base.estimator import OneClassDetector
from insphere.errors import DataError, SpecError
from insphere.workflows.fit_config import FitConfig
from insphere.workflows.refitting import read_reviews


@dataclass(frozen=True, eq=False)
class Labelled:
    """The arguments of `fit`.

    Parameters
    ----------
    X : SampleSet or ndarray
        Samples to train on.
    y : ndarray, shape (n,), or None
        Class of each normal sample; or 0 for unlabelled and -1 for anomalous samples.
    groups : ndarray of int64, shape (n,), or None
        Samples with the same number are held out together.
    n_anomalies : int
        Number of labelled anomalies.
    strata : ndarray of str, shape (n,), or None
        The group in which each normal sample's false alarms are counted.
    """

    X: Any
    y: NDArray[Any] | None = None
    groups: NDArray[np.int64] | None = None
    n_anomalies: int = 0
    strata: NDArray[np.str_] | None = None


def labelled_samples(
    normals: SampleSet,
    classes: NDArray[np.str_] | None,
    config: FitConfig,
    detector: OneClassDetector,
    *,
    strata: NDArray[np.str_] | None = None,
    progress: bool | None = None,
) -> Labelled:
    """Return the samples to fit on, with their classes or with labelled anomalies if asked for.

    Parameters
    ----------
    normals : SampleSet
        Training samples, as a set of one class.
    classes : ndarray of str, shape (n,), or None
        The class of each in its source.
    config : FitConfig
        ``config.by_class`` and ``config.anomalies`` say what is wanted.
    detector : OneClassDetector
        Not fitted.
    strata : ndarray of str, shape (n,), optional
        The group of each, if false alarms are counted by group.
    progress : bool, optional
        Show a bar while anomalies are decoded.

    Raises
    ------
    SpecError
        If the method cannot use it.
    DataError
        If the anomalies cannot be read in the form of the normal samples.
    """
    if config.by_class:
        if not detector.card.takes_classes:
            raise SpecError(
                f"{detector.card.title} knows one normal class only: leave out by-class, or use "
                "the method deep-svdd."
            )
        if classes is None or len(np.unique(classes)) < 2:
            raise SpecError(
                "by-class gives each normal class a sphere of its own, but there is one normal "
                "class: name several, such as --normal bolt --normal nut."
            )
        return Labelled(normals, classes, strata=strata)
    if config.anomalies is None:
        return Labelled(normals, strata=strata)
    if not detector.card.takes_anomalies:
        raise SpecError(
            f"{detector.card.title} learns from normal images alone: leave out the anomalies, or "
            "use the method deep-sad, hsc or fcdd-labelled."
        )
    index = training_index(normals)
    good, groups = normals.take(index), training_groups(normals)
    bad = anomalies_of(normals, config, progress).images
    if good.dtype != bad.dtype:
        raise DataError(
            f"The anomalies in {config.anomalies} are {bad.dtype} images and the normal ones "
            f"{good.dtype}: store both in the same form."
        )
    if groups is not None:
        start = int(groups.max()) + 1
        groups = np.concatenate([groups, start + np.arange(len(bad))])
    y = np.repeat(np.array([0, -1]), [len(good), len(bad)])
    if strata is not None:  # only those of normal samples count
        strata = np.concatenate([strata, np.repeat(strata[:1], len(bad))])
    return Labelled(np.concatenate([good, bad]), y, groups, len(bad), strata)


def anomalies_of(normals: SampleSet, config: FitConfig, progress: bool | None = None) -> ImageSet:
    """Read the labelled anomalies in the form of the normal images; classes there do not count.

    Parameters
    ----------
    normals : SampleSet
        What they lie beside.
    config : FitConfig
        ``config.anomalies`` names them.
    progress : bool, optional
        Show a bar while they are decoded.

    Raises
    ------
    SpecError
        If these are no images, or none are named.
    DataError
        If they cannot be read in that form.
    """
    if not isinstance(normals, ImageSet) or config.anomalies is None:
        raise SpecError(
            "Only anomalous images are read from a folder; with other data, give labels to fit in "
            "Python."
        )
    _, height, width, channels = normals.images.shape
    asked = config.model_copy(update={"normal": (), "size": (height, width), "channels": channels})
    found = _reviewed(asked, progress) or asked.load(config.anomalies, progress=progress)
    if found.images.shape[1:] != normals.images.shape[1:]:
        raise DataError(
            f"The anomalies in {config.anomalies} have the shape {found.images.shape[1:]} and the "
            f"normal images {normals.images.shape[1:]}; give --size and --channels."
        )
    return found


def _reviewed(asked: FitConfig, progress: bool | None) -> ImageSet | None:
    """Return the images that a table of reviews calls anomalous; None if it is no such table."""
    source = asked.anomalies
    if source is None or Path(source).suffix.lower() != ".csv":
        return None
    paths = read_reviews(source).anomalous
    if not paths:
        raise DataError(
            f"{source} calls no image anomalous: write anomalous into the column review of those "
            "that are."
        )
    return load_paths(
        paths,
        size=asked.size,
        fit=asked.fit,
        channels=asked.channels,
        skip_bad=asked.skip_bad,
        progress=progress,
    )
