"""Labels for detectors. There are only four uses, and a run must ask for each explicitly.

A supervised method gets the labels of the training part. A method that is fitted by class gets the
classes of the normal training samples, and no anomaly. A method that learns from labelled anomalies
gets some of the training part, or images of another source, if the run names them. A setting can be
tuned on labelled held-out test images, which are then not evaluated. Everything else is fitted
without labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import StratifiedShuffleSplit

from insphere.data.image_set import ImageSet, take_images
from insphere.data.split import OneClassSplit
from insphere.detectors.base.estimator import OneClassDetector
from insphere.errors import DataError, SpecError
from insphere.scoring.metrics import evaluate_scores
from insphere.workflows.known_anomalies import (
    KnownAnomalies,
    draw_anomalies,
    joined,
    other_images,
)

LABELLED_HOLDOUT = "labelled-holdout"
"""A value of a parameter: select it by the AUC on labelled test images."""

HOLDOUT_SHARE = 0.1


@dataclass(frozen=True)
class Fitted:
    """A detector that was fitted to a split, with the use of labels beyond the normal class.

    Parameters
    ----------
    detector : OneClassDetector
        Fitted.
    evaluated : ndarray of bool, shape (n_test,)
        Test images whose labels were not used.
    label_use : dict
        What labels were used for, as JSON values; empty if for nothing.
    """

    detector: OneClassDetector
    evaluated: NDArray[np.bool_]
    label_use: dict[str, Any] = field(default_factory=dict)


def fit_to_split(
    detector: OneClassDetector,
    split: OneClassSplit,
    *,
    seed: int,
    by_class: bool = False,
    known: KnownAnomalies | None = None,
) -> Fitted:
    """Fit a detector to the training part of a split.

    Parameters
    ----------
    detector : OneClassDetector
        Unfitted. A supervised one gets all images of the training part and their classes;
        parameters that are `LABELLED_HOLDOUT` are tuned (see `tune_on_labelled_holdout`).
    split : OneClassSplit
        Training and test images.
    seed : int
        Seed for the selection of held-out images, or of labelled anomalies.
    by_class : bool
        Give `fit` the class of each normal sample.
    known : KnownAnomalies, optional
        Labelled anomalies to give `fit`.
    """
    everything = np.ones(len(split.test), dtype=bool)
    if detector.card.needs_labels:
        images, labels = training_labels(split)
        names = [split.data.class_names[index] for index in split.normal_classes]
        detector.set_params(normal=names).fit(images, labels)
        return Fitted(detector, everything, {"labelled_training_images": len(labels)})
    tuned = [k for k, v in detector.get_params(deep=False).items() if is_tuned(v)]
    if known is not None:
        return _fit_with(detector, split, known, seed)
    if by_class:
        if tuned:
            raise SpecError(f"{tuned[0]} is not tuned by class: give it a value.")
        classes = np.array(split.data.class_names)[split.data.labels[split.train]]
        detector.fit(split.training, classes)
        return Fitted(detector, everything, {"normal_classes": len(np.unique(classes))})
    if not tuned:
        return Fitted(detector.fit(split.training), everything)
    return tune_on_labelled_holdout(detector, tuned, split, seed=seed)


def _fit_with(
    detector: OneClassDetector, split: OneClassSplit, known: KnownAnomalies, seed: int
) -> Fitted:
    """Fit with some labelled anomalies."""
    data = split.data
    if not isinstance(data, ImageSet):
        raise SpecError("Labelled anomalies are given to runs on images only: leave them out.")
    if known.source is None:
        index = labelled_anomalies(split, known, seed)
        bad, own = take_images(data.images, index), data.groups
        groups = None if own is None else own[np.concatenate([split.train, index])]
        use: dict[str, Any] = {"anomalous_classes": known.classes}
    else:
        used = np.concatenate([split.train, split.calibration, split.test])
        others = other_images(
            known.source, data, used,
            n_normal=len(split.train), share=known.share, seed=seed, progress=False,
        )  # fmt: skip
        bad = others.images
        groups = None if data.groups is None else _each_alone(data.groups, split.train, len(bad))
        left_out = {"left_out": others.left_out} if others.left_out else {}
        use = {"anomalous_source": known.source, **left_out}
    X, y = joined(take_images(data.images, split.train), bad)
    detector.fit(X, y, groups=groups)
    everything = np.ones(len(split.test), dtype=bool)
    return Fitted(detector, everything, {"labelled_anomalies": len(bad), **use})


def _each_alone(groups: NDArray[np.int64], index: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Return the groups of the images at an index, and a new one for each of `n` further images."""
    found: NDArray[np.int64] = np.concatenate([groups[index], int(groups.max()) + 1 + np.arange(n)])
    return found


def labelled_anomalies(split: OneClassSplit, known: KnownAnomalies, seed: int) -> NDArray[np.int64]:
    """Return the positions of the anomalies that a detector is shown, in ascending order.

    Raises
    ------
    DataError
        If the training part has too few of them.
    """
    data = split.data
    kept = np.isin(data.labels, [data.class_index(name) for name in known.classes or ()])
    kept[split.test] = kept[split.calibration] = kept[split.train] = False
    found = np.flatnonzero(kept)
    what = f"{data.name} has {len(found)} training images of {', '.join(known.classes or ())}"
    return found[draw_anomalies(len(found), len(split.train), known.share, seed, what)]


def aucs_apart(
    split: OneClassSplit, known: KnownAnomalies, scores: NDArray[np.float64]
) -> dict[str, float]:
    """Return the AUC on the classes that were labelled, and on those that were never seen.

    Parameters
    ----------
    split : OneClassSplit
        Whose test images were scored.
    known : KnownAnomalies
        What was labelled.
    scores : ndarray, shape (n_test,)
        Scores of the test images.

    Returns
    -------
    dict
        ``auc_of_labelled_classes`` and ``auc_of_other_classes``, as far as there are images. Empty
        where images of another source were shown.
    """
    if known.classes is None:
        return {}
    data = split.data
    classes = [data.class_index(name) for name in known.classes or ()]
    labelled = np.isin(data.labels[split.test], classes)
    found = {}
    for name, part in (("labelled", labelled), ("other", ~labelled)):
        shown = (split.truth == 0) | ((split.truth == 1) & part)
        truth = split.truth[shown]
        if truth.any() and not truth.all():
            found[f"auc_of_{name}_classes"] = evaluate_scores(truth, scores[shown]).auc
    return found


def is_tuned(value: Any) -> bool:
    """Whether the value of a parameter asks for tuning on labelled images."""
    return isinstance(value, str) and value == LABELLED_HOLDOUT


def training_labels(split: OneClassSplit) -> tuple[NDArray[np.uint8], list[str]]:
    """Return the images that are neither test nor held-out images, and their class names."""
    kept = np.ones(len(split.data), dtype=bool)
    kept[split.test] = kept[split.calibration] = False
    index = np.flatnonzero(kept)
    names = split.data.class_names
    return split.data.take(index), [names[i] for i in split.data.labels[index]]


def tune_on_labelled_holdout(
    detector: OneClassDetector,
    parameters: Sequence[str],
    split: OneClassSplit,
    *,
    seed: int,
    grid: Mapping[str, Sequence[float]] | None = None,
) -> Fitted:
    """Select parameters by the AUC on a tenth of the test images, with their labels.

    This is an unfair advantage: no one-class method may see an anomaly before it is tested. Ruff
    et al. (2018) grant it to the OC-SVM, so that its numbers can be compared with theirs. The
    detector itself never gets a label, and the held-out images are not evaluated.

    Parameters
    ----------
    detector : OneClassDetector
        Unfitted, with the other parameters in place.
    parameters : sequence of str
        Names of the parameters to select.
    split : OneClassSplit
        Training and test images.
    seed : int
        Seed for the selection of held-out images. Their share of anomalies is that of the test set.
    grid : mapping, optional
        Values to try, by parameter; by default those on the method's card.

    Raises
    ------
    SpecError
        If there are no values to try for a parameter.
    DataError
        If the test images do not allow a hold-out with both kinds.
    """
    known = detector.card.grid if grid is None else grid
    unknown = [name for name in parameters if name not in known]
    if unknown:
        raise SpecError(
            f"{unknown[0]} of {type(detector).__name__} cannot be tuned on a labelled hold-out; "
            "give it a value."
        )
    held_out = _holdout(split.truth, seed)
    images, truth = take_images(split.X_test, held_out), split.truth[held_out]
    training = split.training
    best, best_auc, tried = detector, -1.0, []
    for values in product(*(known[name] for name in parameters)):
        setting = dict(zip(parameters, values, strict=True))
        candidate = clone(detector).set_params(**setting).fit(training)
        auc = evaluate_scores(truth, candidate.anomaly_score(images)).auc
        tried.append({**setting, "auc": auc})
        if auc > best_auc:
            best, best_auc = candidate, auc
    evaluated = np.ones(len(split.test), dtype=bool)
    evaluated[held_out] = False
    selected = {name: getattr(best, name) for name in parameters}
    label_use = {"labelled_test_images": len(held_out), "chosen": selected, "tried": tried}
    return Fitted(best, evaluated, label_use)


def _holdout(truth: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    size = round(HOLDOUT_SHARE * len(truth))
    counts = np.bincount(truth, minlength=2)
    if size < 2 or counts.min() < 2:
        raise DataError(
            f"A labelled hold-out needs at least 20 test images, 2 of them normal and 2 anomalous, "
            f"but there are {counts[0]} normal and {counts[1]} anomalous ones."
        )
    splitter = StratifiedShuffleSplit(n_splits=1, test_size=size, random_state=seed)
    _, held_out = next(splitter.split(truth, truth))
    selected: NDArray[np.int64] = np.sort(held_out)
    return selected
