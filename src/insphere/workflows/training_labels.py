"""What is known of training samples besides that they are normal: classes, labelled anomalies."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.data.image_set import ImageSet
from insphere.data.inputs import training_groups, training_index
from insphere.data.sample_set import SampleSet
from insphere.detectors.registry import method_card
from insphere.errors import SpecError
from insphere.workflows.fit_config import AUTO, FitConfig
from insphere.workflows.known_anomalies import check_anomalies, joined, other_images

_LEARNERS = "the method deep-sad, hsc or fcdd-labelled"


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


def check_labels(config: FitConfig) -> None:
    """Refuse labels that the method cannot use, or that are not there, before anything is read.

    Raises
    ------
    SpecError
        If the method cannot use them.
    DataError
        If there is no such source of anomalies.
    """
    if config.method == AUTO:
        if config.anomalies is not None:
            raise SpecError(
                "The method auto compares methods that learn from normal images alone: leave out "
                f"the anomalies, or use {_LEARNERS}."
            )
        return
    card = method_card(config.method)
    if config.by_class and not card.takes_classes:
        raise SpecError(
            f"{card.title} knows one normal class only: leave out by-class, or use the method "
            "deep-svdd."
        )
    if config.anomalies is None:
        return
    if not card.takes_anomalies:
        raise SpecError(
            f"{card.title} learns from normal images alone: leave out the anomalies, or use "
            f"{_LEARNERS}."
        )
    check_anomalies(config.anomalies)


def labelled_samples(
    normals: SampleSet,
    classes: NDArray[np.str_] | None,
    config: FitConfig,
    *,
    data: SampleSet,
    used: NDArray[np.int64],
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
        ``config.by_class``, ``config.anomalies`` and ``config.anomaly_share`` say what is wanted.
    data : SampleSet
        The whole source.
    used : ndarray of int64
        Positions in it of the normal training samples, and of those that the detector can be
        tested with. None of them is among its anomalies.
    strata : ndarray of str, shape (n,), optional
        The group of each, if false alarms are counted by group.
    progress : bool, optional
        Show a bar while anomalies are decoded.

    Raises
    ------
    SpecError
        If there is one class, where each is to get a sphere; or these are no images, where some
        are to be anomalous.
    DataError
        If the anomalies cannot be read in the form of the normal samples.
    """
    if config.by_class:
        if classes is None or len(np.unique(classes)) < 2:
            raise SpecError(
                "by-class gives each normal class a sphere of its own, but there is one normal "
                "class: name several, such as --normal bolt --normal nut."
            )
        return Labelled(normals, classes, strata=strata)
    if config.anomalies is None:
        return Labelled(normals, strata=strata)
    index = training_index(normals)
    good, groups = normals.take(index), training_groups(normals)
    if not isinstance(data, ImageSet):
        raise SpecError(
            "Only anomalous images are read from a folder; with other data, give labels to fit in "
            "Python."
        )
    others = other_images(
        config.anomalies, data, used,
        n_normal=len(good), share=config.anomaly_share, seed=config.seed, reading=config,
        progress=progress,
    )  # fmt: skip
    bad = others.images
    if others.left_out:
        warnings.warn(
            f"{others.left_out} images of {others.name} are also normal or tested images of "
            f"{data.name}, and are left out.",
            stacklevel=2,
        )
    if groups is not None:
        start = int(groups.max()) + 1
        groups = np.concatenate([groups, start + np.arange(len(bad))])
    X, y = joined(good, bad)
    if strata is not None:  # only those of normal samples count
        strata = np.concatenate([strata, np.repeat(strata[:1], len(bad))])
    return Labelled(X, y, groups, len(bad), strata)
