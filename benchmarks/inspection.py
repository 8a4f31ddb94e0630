"""Detectors on photographs of magnetic tiles: ``python benchmarks/inspection.py``.

Trains on 521 photographs of good tiles and scores 176 good and 309 defective ones, each as it is:
at its own size and shape. Split *by tile*, as the archive has it, no tile is on both sides;
split at *random*, as published results are, most are. A control knows nothing of a photograph but
its height and width. Appends one line for each detector and split to ``results/inspection.jsonl``,
and continues where it was stopped.

Needs ``magnetic-tiles.zip`` in the folder that INSPHERE_DATA names.
"""

from __future__ import annotations

import os
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from insphere.data.image_set import ImageSet
from insphere.data.letterbox import content_size
from insphere.data.load import load_dataset
from insphere.detectors.registry import build_detector
from insphere.experiments.store.jsonl_rows import append_row, read_rows
from insphere.scoring import evaluate_maps
from insphere.versions import versions
from insphere.workflows.localisation import lying

HERE = Path(__file__).parent
ROWS = HERE / "results" / "inspection.jsonl"
DEFECTS = ("blowhole", "break", "crack", "fray", "uneven")
DEEP = {"stages": ["s6"], "scale": "auto", "neighbourhood": 1, "pooling": "top", "top_share": 0.03}
PLACED = DEEP | {"places": "border"}
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "Gaussian patches": ("patch-gaussian", {}),
    "Patch discriminator": ("patch-discriminator", {}),
    "Gaussian patches with the discriminator": (
        "combination",
        {"members": ["patch-gaussian", "patch-discriminator"]},
    ),
    "Gaussian patches, s6 alone": ("patch-gaussian", {"stages": ["s6"]}),
    "FPSVDD from whitened features": ("fpsvdd", PLACED | {"start": "whitened"}),
    "Patch memory": ("patch-memory", PLACED),
    "Gaussian patches, stages jointly": ("patch-gaussian", {"joint": True}),
    "Gaussian patches, one covariance": ("patch-gaussian", {"covariance": "shared"}),
    "Gaussian patches, no places": ("patch-gaussian", {"places": "none"}),
    "Patch memory, no places": ("patch-memory", DEEP),
    "Patch memory, reweighted": ("patch-memory", PLACED | {"reweighting": 9}),
    "FPSVDD from random weights": ("fpsvdd", PLACED),
}
FIRST = tuple(RUNS)[:3]  # of which the random split is measured, too
SPLITS = ("by tile", "random")
SIZE_ALONE = "height and width alone"


def parts(data: ImageSet, split: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the positions of the training and of the test images."""
    assert data.is_test is not None
    if split == "by tile":
        return np.flatnonzero(~data.is_test), np.flatnonzero(data.is_test)
    good = np.flatnonzero(data.labels == data.class_index("good"))
    drawn = np.random.default_rng(0).permutation(good)[: int((~data.is_test).sum())]
    train = np.sort(drawn)
    return train, np.setdiff1d(np.arange(len(data)), train)


def aucs(data: ImageSet, test: NDArray[np.int64], scores: NDArray[np.float64]) -> dict[str, Any]:
    """Return the image AUC, of all defects and of each."""
    labels = data.labels[test]
    good = labels == data.class_index("good")
    of_each = {
        name: float(roc_auc_score(labels[rows] == own, scores[rows]))
        for name in DEFECTS
        for own in [data.class_index(name)]
        for rows in [good | (labels == own)]
    }
    return {"auc": float(roc_auc_score(~good, scores)), "defects": of_each}


def size_alone(data: ImageSet, train: NDArray[np.int64], test: NDArray[np.int64]) -> Any:
    """Return the distance to the nearest training photographs in the logarithms of the sides."""
    sides = np.log([content_size(image) for image in data.images])
    nearest = NearestNeighbors(n_neighbors=5).fit(sides[train])
    return nearest.kneighbors(sides[test])[0].mean(axis=1)


def main() -> None:
    """Measure what is not there yet."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the note about the canvas
        data = load_dataset(Path(os.environ["INSPHERE_DATA"]) / "magnetic-tiles.zip")
    assert data.masks is not None
    there = {(row["split"], row["run"]) for row in read_rows(ROWS)}
    for split in SPLITS:
        train, test = parts(data, split)
        if (split, SIZE_ALONE) not in there:
            scores = size_alone(data, train, test)
            common = {"dataset": "magnetic-tiles", "split": split, "n_train": len(train)}
            append_row(ROWS, {**common, "run": SIZE_ALONE, **aucs(data, test, scores)})
    order = [(split, run) for split in SPLITS for run in FIRST]
    for split, run in [*order, *((SPLITS[0], run) for run in RUNS)]:
        if (split, run) not in there:
            there.add((split, run))
            append_row(ROWS, measure(data, split, run))


def measure(data: ImageSet, split: str, run: str) -> dict[str, Any]:
    """Train and score one detector; return its row."""
    assert data.masks is not None
    train, test = parts(data, split)
    method, params = RUNS[run]
    started = time.perf_counter()
    detector: Any = build_detector(method, params | {"contamination": 0.05}, seed=0).fit(
        data.images[train]
    )
    fitted = time.perf_counter()
    scores = detector.anomaly_score(data.images[test])
    scored = time.perf_counter()
    maps = detector.anomaly_map(data.images[test])
    pixels = evaluate_maps(data.masks[test] > 0, maps, valid=lying(data.images[test]))
    found = aucs(data, test, scores)
    print(split, run, f"{found['auc']:.4f}", flush=True)
    return {
        "dataset": "magnetic-tiles",
        "split": split,
        "n_train": len(train),
        "run": run,
        "method": method,
        "params": params,
        "scale": getattr(detector, "scale_", None),
        "fit_seconds": round(fitted - started, 1),
        "score_seconds_each": round((scored - fitted) / len(test), 3),
        **found,
        **pixels.to_dict(),
        "versions": versions(),
    }


if __name__ == "__main__":
    main()
