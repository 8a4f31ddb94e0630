"""One model of ten classes beside ten models: ``python benchmarks/several_classes.py SET``.

SET is mnist or cifar10. ``--recipe`` is ``fast`` or ``best``. The one model has a sphere for each
class and is trained for about a fifth of the epochs, so that it takes about a fifth of the time.
Every model is trained, saved and measured in a process of its own, on one thread, one after the
other: AUC of one class against the others on the test part, seconds, peak memory of the process,
and size on disk. Rows go to ``results/several-classes.jsonl``; what is there is not measured again.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from insphere import DeepSVDD
from insphere.data.load import load_dataset
from insphere.experiments.store.jsonl_rows import append_row
from insphere.versions import versions
from missing_rows import already_measured

ROWS = Path(__file__).parent / "results" / "several-classes.jsonl"
ONE_MODEL: dict[str, dict[str, Any]] = {
    "fast": {"recipe": "fast", "pretrain_epochs": 2, "epochs": 3},
    "best": {"recipe": "best", "pretraining": "rotation", "pretrain_epochs": 5, "epochs": 7},
}
"""About a fifth of the epochs that ten models take, by recipe."""


def main() -> None:
    """Measure what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", choices=("mnist", "cifar10"))
    parser.add_argument("--recipe", choices=sorted(ONE_MODEL), default="fast")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    done = already_measured(ROWS)
    for normal in (None, *range(10)):
        settings = ONE_MODEL[given.recipe] if normal is None else {"recipe": given.recipe}
        what = {
            "set": given.dataset,
            "recipe": given.recipe,
            "models": 1 if normal is None else 10,
            "normal": normal,
            "seed": given.seed,
            "settings": settings,
        }
        if what in done:
            continue
        fresh = multiprocessing.get_context("spawn")
        with fresh.Pool(1) as pool:
            measured = pool.apply(measure, (given.dataset, normal, settings, given.seed))
        append_row(ROWS, what | {"measured": measured, "versions": versions()})
        print(what, measured, flush=True)


def measure(
    dataset: str, normal: int | None, settings: dict[str, Any], seed: int
) -> dict[str, Any]:
    """Train, save and measure one model, of one class or, with None, of all ten."""
    torch.set_num_threads(1)
    data = load_dataset(dataset, progress=False)
    assert data.is_test is not None
    chosen = ~data.is_test if normal is None else ~data.is_test & (data.labels == normal)
    X, y = data.images[chosen], data.labels[chosen]
    test, label = data.images[data.is_test], data.labels[data.is_test]
    started = time.perf_counter()
    detector = DeepSVDD(**settings, contamination=0.05, random_state=seed)
    detector.fit(X, y if normal is None else None)
    seconds = time.perf_counter() - started
    found: dict[str, Any]
    if normal is None:
        scores = detector.class_scores(test)
        found = {
            "auc_by_class": [auc(label != k, scores[:, k]) for k in range(10)],
            "accuracy": round(float((scores.argmin(axis=1) == label).mean()), 4),
        }
    else:
        found = {"auc": auc(label != normal, detector.anomaly_score(test))}
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "model"
        detector.save(saved)
        size = sum(path.stat().st_size for path in saved.rglob("*") if path.is_file())
    return found | {
        "fit_seconds": round(seconds, 1),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "saved_kib": round(size / 1024),
    }


def auc(anomalous: np.ndarray, scores: np.ndarray) -> float:
    """Return an AUC for a row."""
    return round(float(roc_auc_score(anomalous, scores)), 5)


if __name__ == "__main__":
    main()
