"""Ways to score pooled features, on a part of one class: ``python benchmarks/feature_trials.py``.

Quick looks at what might lift a detector on pooled features, before any of it becomes an option:
1,000 training images of a class, 1,500 test images drawn at random. Writes one line for each way
and class to ``results/feature-trials.jsonl``. Features that are not in the cache are computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.cluster import KMeans
from sklearn.covariance import LedoitWolf
from sklearn.metrics.pairwise import euclidean_distances

from features import CONTRAST, FINETUNE, FOCUS, resolution_of
from insphere.data.load import load_dataset
from insphere.data.split import OneClassSplit
from insphere.detectors import FeatureKNN
from insphere.detectors.frozen_features.pooled_features import pooled_vectors
from insphere.experiments.store.jsonl_rows import append_row, read_rows
from insphere.features import Extractor, features, pooled_form
from insphere.nets.backbones import load_backbone
from insphere.nets.backbones.lite import CARD, packaged_weights
from insphere.nets.backbones.weights import read_weights
from insphere.scoring import evaluate_scores
from insphere.versions import versions

ROWS = Path(__file__).parent / "results" / "feature-trials.jsonl"
CLASSES = (("fashion-mnist", "Pullover"), ("cifar10", "cat"))
TRAIN, TEST = 1000, 1500
LATE = ("s5", "s6", "s7", "head")
Images = NDArray[np.uint8]
Rows = NDArray[np.float16]
Values = NDArray[np.float32]
Scored = tuple[str, NDArray[np.float64]]


def main(
    parts: Annotated[
        list[str] | None,
        typer.Argument(help="Any of ways, inputs, places, finetuned; all by default."),
    ] = None,
) -> None:
    """Try everything that is not there yet."""
    torch.set_num_threads(1)
    for name in parts or PARTS:
        for dataset, normal in CLASSES:
            done = {(row["dataset"], row["normal"], row["trial"]) for row in read_rows(ROWS)}
            split = OneClassSplit(load_dataset(dataset), normal, random_state=0)
            test = np.sort(np.random.default_rng(0).permutation(len(split.truth))[:TEST])
            images = (np.asarray(split.X_train)[:TRAIN], np.asarray(split.X_test)[test])
            for title, scores in PARTS[name](*images, resolution_of(dataset)):
                if (dataset, normal, title) in done:
                    continue
                row = {
                    "dataset": dataset,
                    "normal": normal,
                    "trial": title,
                    "n_train": len(images[0]),
                    "n_test": len(images[1]),
                    "auc": evaluate_scores(split.truth[test], scores).auc,
                    "versions": versions(),
                }
                append_row(ROWS, row)
                print(f"{dataset} {normal} {title}: {100 * row['auc']:.2f}", flush=True)


def pooled(
    train: Images, test: Images, side: int, *, focus: float | None = None, **settings: Any
) -> tuple[Rows, Rows]:
    """Compute pooled features of all stages at a resolution, or read them from the cache."""
    extractor = Extractor(load_backbone(), resolution=side, device=torch.device("cpu"), **settings)
    form = [pooled_form(extractor.card, focus=focus)]
    return features(extractor, train, form)[0], features(extractor, test, form)[0]


def inputs(train: Images, test: Images, usual: int) -> Iterator[Scored]:
    """Score by other resolutions, and by features averaged with those of the mirror image."""
    for side in (128, 160, 192, 224):
        if side != usual:
            rows = [root(x) for x in pooled(train, test, side)]
            yield f"2-NN, {side} pixels", neighbours(*rows)
    rows = [root(x) for x in pooled(train, test, usual, mirrored=True)]
    yield "2-NN, with mirror images", neighbours(*rows)
    yield "5-NN, with mirror images", neighbours(*rows, 5)
    pairs = [[root(x) for x in pooled(train, test, side, mirrored=True)] for side in (160, 224)]
    joined = [np.concatenate(two, axis=1) for two in zip(*pairs, strict=True)]
    yield "10-NN, 160 and 224 pixels joined, with mirror images", neighbours(*joined, 10)


def places(train: Images, test: Images, usual: int) -> Iterator[Scored]:
    """Score by means over the map in which the middle counts more."""
    for focus in (None, *FOCUS):
        rows = [root(x) for x in pooled(train, test, usual, focus=focus, resampling="bilinear")]
        suffix = "" if focus is None else f", focus {focus}"
        yield f"10-NN, bilinear{suffix}", neighbours(*rows, 10)


def finetuned(train: Images, test: Images, side: int) -> Iterator[Scored]:
    """Score after fine-tuning the last two stages, at ten times the default learning rate."""
    fast = {"lr": 1e-4}
    short = CONTRAST | fast
    longer = short | {"epochs": 8, "views": 4, "keep_spread": 0.1}
    last = longer | {"stages": 1}
    for name, settings in (
        ("compactness", FINETUNE | fast),
        ("contrast", short),
        ("contrast", longer),
        ("contrast, last stage only", last),
    ):
        detector = FeatureKNN(
            resolution=side, finetune=settings, contamination=0.05, random_state=0
        ).fit(train)
        epochs = len(detector.finetune_history_)
        suffix = f"{epochs} epoch{'' if epochs == 1 else 's'}"
        yield f"2-NN, fine-tuned by {name}, {suffix}", detector.anomaly_score(test)


def root(rows: Rows) -> Values:
    """Return the normalised mean of the last stage."""
    return pooled_vectors(rows, CARD.stages, LATE[-1:], "mean", "root-l2")


def ways(train_images: Images, test_images: Images, side: int) -> Iterator[Scored]:
    """Score by the same features in every way."""
    train, test = pooled(train_images, test_images, side)
    stages = CARD.stages

    def vectors(
        names: tuple[str, ...], statistic: str = "mean", normalize: str | None = "root-l2"
    ) -> list[Values]:
        return [
            pooled_vectors(rows, stages, names, statistic, normalize)  # type: ignore[arg-type]
            for rows in (train, test)
        ]

    a, b = vectors(LATE[-1:])
    distances = euclidean_distances(b, a)
    own = np.sort(euclidean_distances(a), axis=1)
    for k in (1, 2, 5, 10, 20):
        yield f"{k}-NN", nearest(distances, k)
    closest = np.argsort(distances, axis=1)[:, :5]
    density = own[:, 1:6].mean(axis=1)[closest].mean(axis=1)
    yield "5-NN over that of the neighbours", nearest(distances, 5) / density
    for centres in (1, 16, 64):
        found = KMeans(centres, n_init=1, random_state=0).fit(a).cluster_centers_
        yield f"nearest of {centres} centres", nearest(euclidean_distances(b, found), 1)
    yield "2-NN, L2 only", neighbours(*vectors(LATE[-1:], normalize="l2"))
    yield "2-NN, as they are", neighbours(*vectors(LATE[-1:], normalize=None))
    yield "2-NN, highest values", neighbours(*vectors(LATE[-1:], "max"))
    yield "2-NN, mean and highest", neighbours(*vectors(LATE[-1:], "both"))
    for first in (2, 1, 0):
        yield f"2-NN, {' + '.join(LATE[first:])}", neighbours(*vectors(LATE[first:]))
    mahalanobis, white_a, white_b = whitened(a, b)
    yield "Mahalanobis", mahalanobis
    yield "2-NN, whitened", neighbours(white_a, white_b)
    yield (
        "mean rank of 5-NN and Mahalanobis",
        (rankdata(nearest(distances, 5)) + rankdata(mahalanobis)),
    )
    network = read_weights(packaged_weights())
    weight, bias = (network[f"_fc.{name}"].float().numpy() for name in ("weight", "bias"))
    logits = [rows @ weight.T + bias for rows in vectors(LATE[-1:], normalize=None)]
    yield "2-NN, ImageNet logits", neighbours(*(unit(x - x.mean(1, keepdims=True)) for x in logits))
    chances = [torch.from_numpy(x / 2).softmax(dim=1).sqrt().numpy() for x in logits]
    yield "2-NN, ImageNet probabilities", neighbours(*chances)


def nearest(distances: NDArray[np.float32], k: int) -> NDArray[np.float64]:
    """Return the mean of the k smallest distances of each row."""
    return np.partition(distances, k - 1, axis=1)[:, :k].mean(axis=1, dtype=np.float64)


def neighbours(train: Values, test: Values, k: int = 2) -> NDArray[np.float64]:
    """Return the mean distance of each test vector to the k nearest training vectors."""
    return nearest(euclidean_distances(test, train), k)


def whitened(train: Values, test: Values) -> tuple[NDArray[np.float64], Values, Values]:
    """Return Mahalanobis distances, and both sets in the space in which they are Euclidean."""
    estimate = LedoitWolf(store_precision=False).fit(train.astype(np.float64))
    variances, directions = np.linalg.eigh(estimate.covariance_)
    scale = directions / np.sqrt(np.maximum(variances, 1e-12))
    a, b = ((rows - estimate.location_) @ scale for rows in (train, test))
    return np.linalg.norm(b, axis=1), a.astype(np.float32), b.astype(np.float32)


def unit(rows: Values) -> Values:
    """Scale rows to length 1."""
    scaled: Values = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled


PARTS: dict[str, Callable[[Images, Images, int], Iterator[Scored]]] = {
    "ways": ways,
    "inputs": inputs,
    "places": places,
    "finetuned": finetuned,
}

if __name__ == "__main__":
    typer.run(main)
