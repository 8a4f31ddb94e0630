"""Figures that look into single runs: their scores, their training, their images, their models.

Which runs is never a matter of taste: of each dataset the baseline and the option with the best
mean AUC, one run a class (the smallest seed); where one run has to stand for all, that with the
median AUC.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from insphere.data.value_range import shown_as_uint8
from insphere.errors import InsphereError
from insphere.experiments.analysis.run_collection import Material, typical
from insphere.experiments.plots.figure_spec import NotEnough, plate, slug
from insphere.figures import curves, epochs, latent_map, previews, scores
from insphere.figures.bins import histogram
from insphere.figures.measured import Measured, chosen
from insphere.figures.plane import flatten
from insphere.figures.points import precision_recall, roc
from insphere.report.gallery import Plate

NO_SCORES = "scores in the store of a sweep"
MOST_POINTS = 1500  # of the latent space: more would hide each other


def roc_curves(material: Material) -> list[Plate]:
    """ROC curves by class."""
    return _curves(material, "roc")


def precision_recall_curves(material: Material) -> list[Plate]:
    """Precision–recall curves by class."""
    return _curves(material, "pr")


def _curves(material: Material, kind: str) -> list[Plate]:
    points, draw, name, text = {
        "roc": (
            roc, curves.roc_curves, "ROC",
            "How many anomalous images are caught for how many false alarms, at every threshold.",
        ),
        "pr": (
            precision_recall, curves.precision_recall_curves, "precision and recall",
            "How many of the flagged images are anomalous, at every threshold. The dotted line is "
            "the share of anomalous images.",
        ),
    }[kind]  # fmt: skip
    found = []
    for data, option, runs in _with_scores(material):
        lines = {}
        for run in runs:
            kept = material.scores(run)
            curve = None if kept is None else points(*kept)
            if curve is not None:
                lines[run.normal] = curve
        if lines:
            found.append(
                plate(
                    material, runs, f"{kind}-{slug(data)}-{slug(option)}",
                    f"{data}: {name} of {option}", text, draw, lines,
                )
            )  # fmt: skip
    if not found:
        raise NotEnough(NO_SCORES)
    return found


def score_distributions(material: Material) -> list[Plate]:
    """Scores of normal and anomalous images by class."""
    found = []
    for data, option, runs in _with_scores(material):
        panels = {}
        for run in runs:
            kept = material.scores(run)
            if kept is not None:
                threshold = material.by_run[run.run].get("threshold")
                panels[f"normal: {run.normal}"] = histogram(kept[0], threshold, kept[1])
        found.append(
            plate(
                material, runs, f"scores-{slug(data)}-{slug(option)}",
                f"{data}: scores of {option}",
                "Scores of the test images, each group as a share of itself. The outermost bars "
                "gather long tails.",
                scores.score_distributions, panels,
            )
        )  # fmt: skip
    if not found:
        raise NotEnough(NO_SCORES)
    return found


def training_lines(material: Material) -> list[Plate]:
    """Loss and AUC while training."""
    found = []
    for data in material.datasets:
        for option in material.shown_options(data):
            runs = material.first_seed(chosen(material.on(data), option=option))
            lines = {run.normal: rows for run in runs if (rows := material.history(run))}
            parts = epochs.epoch_lines(lines)
            if not parts:
                continue
            more = (
                " The AUC was measured for this picture only; no epoch was chosen by it."
                if epochs.AUC_AXIS in parts
                else ""
            )
            found.append(
                plate(
                    material, [run for run in runs if run.normal in lines],
                    f"training-{slug(data)}-{slug(option)}", f"{data}: training of {option}",
                    f"A line for each normal class.{more}", epochs.training_lines, lines,
                )
            )  # fmt: skip
    if not found:
        raise NotEnough("histories in the store of a sweep")
    return found


def dataset_previews(material: Material) -> list[Plate]:
    """Images of every class, for each dataset."""
    found, missing = [], []
    for name in material.datasets:
        try:
            data = material.data(name)
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
            plate(
                material, material.on(name), f"preview-{slug(name)}", f"{name}: images by class",
                "Images spread evenly over those of each class.",
                previews.dataset_preview, images, labels[kept], data.class_names, screen=False,
                origin=f"From the {len(data):,} images of {name}, fingerprint "
                f"{data.fingerprint[:12]}.",
            )
        )  # fmt: skip
    if not found:
        raise NotEnough(f"the images of {' or '.join(missing)}")
    return found


def images_by_score(material: Material) -> list[Plate]:
    """Test images in the order of their scores."""
    found, missing = [], NO_SCORES
    for data, option, runs in _with_scores(material):
        run = typical(runs)
        kept = material.scores(run)
        try:
            images = shown_as_uint8(material.split(run).X_test)
        except InsphereError:
            missing = f"the images of {data}"
            continue
        if kept is None or len(images) != len(kept[0]):
            continue
        order = np.concatenate(list(previews.score_ladder(kept[0], 12).values()))
        found.append(
            plate(
                material, [run], f"sorted-{slug(data)}-{slug(option)}",
                f"{data}: by the score of {option}, normal is {run.normal}",
                f"Of {len(images):,} test images the twelve with the lowest scores, twelve spread "
                "evenly over the ranks, and the twelve with the highest. Of all classes this is "
                "the one with the median AUC.",
                previews.images_by_score, images[order], kept[0][order], kept[1][order],
                screen=False,
            )
        )  # fmt: skip
    if not found:
        raise NotEnough(missing)
    return found


def latent_planes(material: Material) -> list[Plate]:
    """Latent space of a run with a model, for each dataset."""
    found, missing = [], "models from sweep run --save-models"
    for data in material.datasets:
        for option in material.shown_options(data):
            runs = material.first_seed(chosen(material.on(data), option=option))
            with_models = [run for run in runs if material.model(run) is not None]
            if not with_models:
                continue
            run = typical(with_models)
            try:
                found.append(_latent(material, run))
            except InsphereError:
                missing = f"the images of {data}, and a model with a radius"
    if not found:
        raise NotEnough(missing)
    return found


def _latent(material: Material, run: Measured) -> Plate:
    from insphere.detectors.persistence.model_folder import load_detector
    from insphere.detectors.spheres.deep_svdd import DeepSVDD

    folder = material.model(run)
    split = material.split(run)
    detector = None if folder is None else load_detector(folder)
    if not isinstance(detector, DeepSVDD):
        raise InsphereError(f"The model of the run {run.run} has no sphere.")
    here = sample(split.truth, MOST_POINTS)
    plane = flatten(
        detector.transform(split.X_test[here]), split.truth[here], detector.center_,
        detector.radius_,
    )  # fmt: skip
    return plate(
        material, [run], f"latent-{slug(run.dataset)}-{slug(run.option)}",
        f"{run.dataset}: latent space of {run.option}, normal is {run.normal}",
        f"{len(here):,} test images, up to half of them normal, in the {len(detector.center_)} "
        f"dimensions of the representation. {plane.honesty}",
        latent_map.latent_plane, plane,
    )  # fmt: skip


def sample(truth: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return at most `most` images spread evenly, up to half of them normal."""
    normal, anomalous = np.flatnonzero(truth == 0), np.flatnonzero(truth != 0)
    first = normal[previews.evenly(len(normal), most // 2)]
    rest = anomalous[previews.evenly(len(anomalous), most - len(first))]
    return np.sort(np.concatenate([first, rest]))


def _with_scores(material: Material) -> list[tuple[str, str, list[Measured]]]:
    """Return datasets and options with one run a class whose scores were kept.

    Runs that were tuned on labelled test images are not among them: their AUC is that of the other
    images, but scores are kept of all.
    """
    found = []
    for data in material.datasets:
        for option in material.shown_options(data):
            runs = [
                run
                for run in material.first_seed(chosen(material.on(data), option=option))
                if material.scores(run) is not None
                and "labelled_test_images" not in material.by_run[run.run].get("labels", {})
            ]
            if runs:
                found.append((data, option, runs))
    return found
