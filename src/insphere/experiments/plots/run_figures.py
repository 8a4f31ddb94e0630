"""Figures of single runs: their scores, training, images and models.

The runs are selected by a fixed rule. From a file of runs: for each data set the baseline and the
option with the best mean AUC, with one run for each class (the smallest seed); if one run must
represent all, that with the median AUC. From a few runs that a user selected: these.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.data.value_range import shown_as_uint8
from insphere.errors import InsphereError
from insphere.experiments.analysis.run_collection import RunCollection, typical
from insphere.experiments.plots.figure_spec import Content, FigureSpec, NotEnough, on_screen
from insphere.figures import curves, epochs, latent_map, previews, scores
from insphere.figures.bins import histogram
from insphere.figures.measured import Measured, select_runs
from insphere.figures.plane import flatten
from insphere.figures.points import precision_recall, roc

NO_SCORES = "scores in the store of a sweep"
MOST_POINTS = 1500  # points of the latent space; more would hide each other
MOST_CURVES = 6  # runs that a user selected; more could not be distinguished


@dataclass(frozen=True)
class _Group:
    """Runs whose curves are drawn in one figure.

    Parameters
    ----------
    of : tuple of str
        See `Content`.
    runs : dict of str to Measured
        The runs by the names of their lines.
    line : str
        What a line represents.
    """

    of: tuple[str, ...]
    runs: dict[str, Measured]
    line: str

    def title(self, what: str) -> str:
        """Return the heading of a figure that shows `what` of these runs."""
        return f"{self.of[0]}: {what} of {self.of[1]}" if self.of else f"{what} of these runs"


def _groups(collection: RunCollection) -> list[_Group]:
    """Return one group of a few selected runs, or else one for each data set and option."""
    if collection.selected and len(collection.runs) <= MOST_CURVES:
        cells = {(run.dataset, run.normal, run.seed) for run in collection.runs}
        named: dict[str, Measured] = {}
        for run in collection.runs:
            cell = f", {run.normal}, seed {run.seed}" if len(cells) > 1 else ""
            name = f"{run.option}{cell}"
            named[name if name not in named else f"{name} ({run.run})"] = run
        return [_Group((), named, "run")]
    return [
        _Group((data, option), {run.normal: run for run in runs}, "normal class")
        for data in collection.datasets
        for option in collection.shown_options(data)
        if (runs := collection.first_seed(select_runs(collection.on(data), option=option)))
    ]


def _curves(
    collection: RunCollection, points: Callable[..., Any], name: str, caption: str
) -> list[Content]:
    found = []
    for group in _groups(collection):
        runs = {label: run for label, run in group.runs.items() if _has_scores(collection, run)}
        lines = {}
        for label, run in runs.items():
            kept = collection.scores(run)
            curve = None if kept is None else points(*kept)
            if curve is not None:
                lines[label] = curve
        if lines:
            shown = list(runs.values())
            found.append(Content(group.of, group.title(name), caption, shown, (lines,)))
    return found


def _roc(collection: RunCollection) -> list[Content]:
    """ROC curves by class."""
    return _curves(
        collection, roc, "ROC",
        "Share of anomalous images found and share of false alarms, at every threshold.",
    )  # fmt: skip


def _precision_recall(collection: RunCollection) -> list[Content]:
    """Precision–recall curves by class."""
    return _curves(
        collection, precision_recall, "precision and recall",
        "Share of anomalous images among those called anomalous, at every threshold. The dotted"
        " line is their share among all images.",
    )  # fmt: skip


def _score_distributions(collection: RunCollection) -> list[Content]:
    """Scores of normal and anomalous images by class."""
    found = []
    for data, option, runs in _with_scores(collection):
        panels = {}
        for run in runs:
            kept = collection.scores(run)
            if kept is not None:
                threshold = collection.by_run[run.run].get("threshold")
                panels[f"normal: {run.normal}"] = histogram(kept[0], threshold, kept[1])
        found.append(
            Content(
                (data, option), f"{data}: scores of {option}",
                "Scores of the test images, as a share of each group. The outermost bars "
                "include long tails.",
                runs, (panels,),
            )
        )  # fmt: skip
    return found


def _training(collection: RunCollection) -> list[Content]:
    """Loss and AUC while training."""
    found = []
    for group in _groups(collection):
        histories = {label: collection.history(run) for label, run in group.runs.items()}
        lines = {label: rows for label, rows in histories.items() if rows}
        parts = epochs.epoch_lines(lines)
        if not parts:
            continue
        more = (
            " The AUC was measured for this picture only; no epoch was chosen by it."
            if epochs.AUC_AXIS in parts
            else ""
        )
        shown = [run for label, run in group.runs.items() if label in lines]
        caption = f"A line for each {group.line}.{more}"
        found.append(Content(group.of, group.title("training"), caption, shown, (lines,)))
    return found


def _previews(collection: RunCollection) -> list[Content]:
    """Images of every class, for each dataset."""
    found, missing = [], []
    for name in collection.datasets:
        try:
            data = collection.data(name)
        except InsphereError:
            missing.append(name)
            continue
        labels = np.asarray(data.labels)
        kept = np.concatenate(
            [
                here[previews.evenly(len(here), 10)]
                for here in (np.flatnonzero(labels == k) for k in range(len(data.class_names)))
                if len(here)
            ]
        )
        images = shown_as_uint8(np.stack([data.images[i] for i in kept]))
        found.append(
            Content(
                (name,), f"{name}: images by class",
                "Images spread evenly over those of each class.",
                collection.on(name), (images, labels[kept], data.class_names),
                origin=f"From the {len(data):,} images of {name}, fingerprint "
                f"{data.fingerprint[:12]}.",
            )
        )  # fmt: skip
    if not found:
        raise NotEnough(f"the images of {' or '.join(missing)}")
    return found


def _sorted(collection: RunCollection) -> list[Content]:
    """Test images in the order of their scores."""
    found, missing = [], NO_SCORES
    for data, option, runs in _with_scores(collection):
        run = typical(runs)
        kept = collection.scores(run)
        try:
            images = shown_as_uint8(collection.split(run).X_test)
        except InsphereError:
            missing = f"the images of {data}"
            continue
        if kept is None or len(images) != len(kept[0]):
            continue
        order = np.concatenate(list(previews.score_ladder(kept[0], 12).values()))
        found.append(
            Content(
                (data, option), f"{data}: by the score of {option}, normal is {run.normal}",
                f"Of {len(images):,} test images, the twelve with the lowest scores, twelve "
                "evenly spaced in rank, and the twelve with the highest scores. The class is "
                "that with the median AUC.",
                [run], (images[order], kept[0][order], kept[1][order]),
            )
        )  # fmt: skip
    if not found:
        raise NotEnough(missing)
    return found


def _latent_planes(collection: RunCollection) -> list[Content]:
    """Latent space of a run with a model, for each dataset."""
    found, missing = [], "models from sweep run --save-models"
    for data in collection.datasets:
        for option in collection.shown_options(data):
            runs = collection.first_seed(select_runs(collection.on(data), option=option))
            with_models = [run for run in runs if collection.model(run) is not None]
            if not with_models:
                continue
            run = typical(with_models)
            try:
                found.append(_latent(collection, run))
            except InsphereError:
                missing = f"the images of {data}, and a model with a radius around one centre"
    if not found:
        raise NotEnough(missing)
    return found


def _latent(collection: RunCollection, run: Measured) -> Content:
    from insphere.detectors.model_folder import load_detector
    from insphere.detectors.spheres.deep_svdd import DeepSVDD
    from insphere.training.heads.center import Center

    folder = collection.model(run)
    split = collection.split(run)
    detector = None if folder is None else load_detector(folder)
    if not isinstance(detector, DeepSVDD) or not isinstance(detector.sphere_.head, Center):
        raise InsphereError(f"The model of the run {run.run} has no sphere.")
    here = sample(split.truth, MOST_POINTS)
    plane = flatten(
        detector.transform(split.X_test[here]), split.truth[here], detector.center_,
        detector.radius_,
    )  # fmt: skip
    return Content(
        (run.dataset, run.option),
        f"{run.dataset}: latent space of {run.option}, normal is {run.normal}",
        f"{len(here):,} test images, up to half of them normal, in the {len(detector.center_)} "
        f"dimensions of the representation. {plane.honesty}",
        [run], (plane,),
    )  # fmt: skip


def sample(truth: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return at most `most` images spread evenly, up to half of them normal."""
    normal, anomalous = np.flatnonzero(truth == 0), np.flatnonzero(truth != 0)
    first = normal[previews.evenly(len(normal), most // 2)]
    rest = anomalous[previews.evenly(len(anomalous), most - len(first))]
    return np.sort(np.concatenate([first, rest]))


def _has_scores(collection: RunCollection, run: Measured) -> bool:
    """Whether the scores of a run were saved, and its AUC is that of these scores.

    This is false for runs that were tuned on labelled test images: their AUC is that of the other
    images, but the scores of all are saved.
    """
    label_use = collection.by_run[run.run].get("labels", {})
    return collection.scores(run) is not None and "labelled_test_images" not in label_use


def _with_scores(collection: RunCollection) -> list[tuple[str, str, list[Measured]]]:
    """Return data sets and options with one run for each class whose scores were saved."""
    found = []
    for data in collection.datasets:
        for option in collection.shown_options(data):
            runs = [
                run
                for run in collection.first_seed(select_runs(collection.on(data), option=option))
                if _has_scores(collection, run)
            ]
            if runs:
                found.append((data, option, runs))
    return found


PREVIEW = FigureSpec(
    "preview", "Images by class", "the images of a dataset",
    _previews, previews.dataset_preview, pictures=True,
    shows="images of every class",
)  # fmt: skip
TRAINING = FigureSpec(
    "training", "Loss and AUC by epoch", "histories in the store of a sweep",
    _training, epochs.training_lines, on_screen("epochs.training_lines"),
    shows="loss, and AUC where it was measured, by epoch",
)  # fmt: skip
ROC = FigureSpec(
    "roc",
    "ROC curves",
    NO_SCORES,
    _roc,
    curves.roc_curves,
    on_screen("curves.roc_curves"),
    shows="ROC curves by class",
)
PRECISION_RECALL = FigureSpec(
    "pr", "Precision–recall curves", NO_SCORES,
    _precision_recall, curves.precision_recall_curves, on_screen("curves.precision_recall_curves"),
    shows="precision and recall by class",
)  # fmt: skip
SCORES = FigureSpec(
    "scores", "Score distributions", NO_SCORES,
    _score_distributions, scores.score_distributions, on_screen("scores.score_distributions"),
    shows="distributions of scores by class",
)  # fmt: skip
SORTED = FigureSpec(
    "sorted",
    "Images by score",
    NO_SCORES,
    _sorted,
    previews.images_by_score,
    pictures=True,
    shows="test images in the order of their scores",
)
LATENT = FigureSpec(
    "latent", "Latent space", "models from sweep run --save-models",
    _latent_planes, latent_map.latent_plane, on_screen("latent_map.latent_plane"),
    shows="latent space with centre and radius",
)  # fmt: skip
