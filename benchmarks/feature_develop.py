"""Choose a head on training images alone: ``python benchmarks/feature_develop.py``.

Each class of CIFAR-10 in turn is normal: a head is fitted to the first 4,000 of its training
images, and tells its last 1,000 from the last 1,000 training images of every other class. No test
image is looked at. What these numbers say about a class is not used for that class: its head is the
one with the best mean over the other nine as normal, with none of its own images among the
anomalous.

Writes one line for each head and class to ``results/cifar10-develop.jsonl``; what is there is not
run again. Features that are not in the cache are computed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import typer

from features import FOCUSED, HEADS, Head, resolution_of
from insphere.data.load import load_dataset
from insphere.detectors.registry import detector_class
from insphere.experiments.store.jsonl_rows import append_row, read_rows
from insphere.scoring import evaluate_scores
from insphere.versions import versions

DATASET = "cifar10"
ROWS = Path(__file__).parent / "results" / f"{DATASET}-develop.jsonl"
FITTED = 4000  # training images of the normal class; the others are told apart
CANDIDATES = ["2-NN", "Mahalanobis", "5-NN", "10-NN", "10-NN, mirrored", *FOCUSED]
CANDIDATES += ["10-NN, three networks"]


def main() -> None:
    """Run what is not there yet, and say which head is chosen for each class."""
    torch.set_num_threads(1)
    data = load_dataset(DATASET)
    assert data.is_test is not None
    training = {
        name: np.flatnonzero((data.labels == data.class_index(name)) & ~data.is_test)
        for name in data.class_names
    }
    done = {(row["head"], row["normal"]) for row in read_rows(ROWS)}
    for title in CANDIDATES:
        for normal in data.class_names:
            if (title, normal) not in done:
                row = {"head": title, "normal": normal, "fitted": FITTED}
                aucs = told_apart(HEADS[title], data.images, training, normal)
                append_row(ROWS, row | {"auc": aucs, "versions": versions()})
                print(f"{title}: {normal} {100 * np.mean(list(aucs.values())):.2f}", flush=True)
    for name, title in chosen_heads().items():
        print(f"{name}: {title}")


def told_apart(
    head: Head, images: Any, training: dict[str, np.ndarray], normal: str
) -> dict[str, float]:
    """Return the AUC of the held out training images of a class beside those of each other one."""
    method, params = head
    detector = detector_class(method)(
        **{"resolution": resolution_of(DATASET)} | params, contamination=0.05, random_state=0
    )
    detector.fit(images[training[normal][:FITTED]])
    scores = {name: detector.anomaly_score(images[own[FITTED:]]) for name, own in training.items()}
    truth = np.repeat([False, True], [len(scores[normal]), len(scores[normal])])
    return {
        name: evaluate_scores(truth, np.concatenate([scores[normal], other])).auc
        for name, other in scores.items()
        if name != normal
    }


def means_without(name: str | None, rows: Iterable[dict[str, Any]]) -> dict[str, float]:
    """Return each head's mean AUC where a class is neither normal nor anomalous."""
    found: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row["normal"] != name:
            found[row["head"]] += [auc for other, auc in row["auc"].items() if other != name]
    return {head: float(np.mean(aucs)) for head, aucs in found.items()}


def chosen_heads() -> dict[str, str]:
    """Return the head that is chosen for each class; nothing before all were run."""
    rows = read_rows(ROWS)
    names = {row["normal"] for row in rows}
    if len(rows) < len(CANDIDATES) * max(len(names), 1) or len(names) < 2:
        return {}
    means = {name: means_without(name, rows) for name in sorted(names)}
    return {name: max(one, key=lambda head: one[head]) for name, one in means.items()}


if __name__ == "__main__":
    typer.run(main)
