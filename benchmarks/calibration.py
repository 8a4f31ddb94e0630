"""Whether thresholds keep their word: ``python benchmarks/calibration.py``.

Split: each detector is trained on 200 threes of mnist-5k and scores the other 300 once; 1,000 times
they are divided at random into 150 for calibration and 150 new ones. Cross: 1,000 times a detector
is fitted to 60 threes, each left out once in five parts, and meets the other 440. Writes one line
a detector and false-alarm rate to ``results/calibration.jsonl``.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np

from insphere.data.load import load_dataset
from insphere.detectors.registry import detector_class
from insphere.experiments.store.jsonl_rows import append_row, read_rows
from insphere.scoring import conformal_p_values
from insphere.versions import versions

ROWS = Path(__file__).parent / "results" / "calibration.jsonl"
RESAMPLINGS = 1000
ALPHAS = (0.01, 0.05, 0.1)
FEW = {"recipe": "fast", "epochs": 5, "pretrain_epochs": 5}
SPLIT: dict[str, tuple[str, dict[str, Any]]] = {
    "Deep SVDD": ("deep-svdd", FEW),
    "Deep SVDD, soft boundary": ("deep-svdd", {"objective": "soft-boundary", **FEW}),
    "Deep SVDD, untrained": ("untrained", {"recipe": "fast"}),
    "DCAE": ("dcae", {"epochs": 5}),
    "AnoGAN": ("anogan", {"train_steps": 50, "search_steps": 20}),
    "OC-SVM": ("oc-svm", {}),
    "isolation forest": ("isolation-forest", {}),
    "KDE": ("kde", {}),
    "2-NN, pixels": ("knn", {}),
    "Mahalanobis": ("mahalanobis", {}),
    "Convolutional SVDD": ("fcdd", {"epochs": 5}),
    "FPSVDD": ("fpsvdd", {"resolution": 64, "cache": False}),
    "Deep SVDD on features": ("feature-svdd", {"resolution": 64, "cache": False}),
    "2-NN on features": ("feature-knn", {"resolution": 64, "cache": False}),
    "Mahalanobis on features": ("feature-mahalanobis", {"resolution": 64, "cache": False}),
    "PCA on features": ("feature-pca", {"resolution": 64, "cache": False}),
    "Patch memory": ("patch-memory", {"resolution": 64, "cache": False}),
}
CROSS = {"2-NN, pixels": "knn", "Mahalanobis": "mahalanobis"}


def split_rates(images: np.ndarray, method: str, params: dict[str, Any]) -> np.ndarray:
    """Return the false-alarm rates of all resamplings, shape (RESAMPLINGS, len(ALPHAS))."""
    detector = detector_class(method)(**params, contamination=0.05, random_state=0)
    detector.fit(images[:200])
    scores = detector.anomaly_score(images[200:])
    rng, rates = np.random.default_rng(0), []
    for _ in range(RESAMPLINGS):
        order = rng.permutation(scores)
        p_values = conformal_p_values(order[:150], order[150:])
        rates.append([(p_values <= alpha).mean() for alpha in ALPHAS])
    return np.array(rates)


def cross_rates(images: np.ndarray, method: str) -> np.ndarray:
    """Return the same for cross-conformal calibration, with a new fit each time."""
    rng, rates = np.random.default_rng(0), []
    for seed in range(RESAMPLINGS):
        order = rng.permutation(len(images))
        detector = detector_class(method)(false_alarm_rate=0.1, calibration=5, random_state=seed)
        p_values = detector.fit(images[order[:60]]).p_value(images[order[60:]])
        rates.append([(p_values <= alpha).mean() for alpha in ALPHAS])
    return np.array(rates)


def main() -> None:
    """Measure what is not there yet."""
    data = load_dataset("mnist-5k")
    threes = data.images[data.labels == data.class_index("3")]
    threes = np.asarray(threes)[np.random.default_rng(0).permutation(len(threes))]
    there = {(row["scheme"], row["detector"]) for row in read_rows(ROWS)}
    plans = [("split", name) for name in SPLIT] + [("cross", name) for name in CROSS]
    for scheme, name in plans:
        if (scheme, name) in there:
            continue
        started = time.perf_counter()
        if scheme == "split":
            method, params = SPLIT[name]
            rates = split_rates(threes, method, params)
        else:
            method, params = CROSS[name], {"calibration": 5}
            rates = cross_rates(threes, method)
        for position, alpha in enumerate(ALPHAS):
            found = rates[:, position]
            row = {
                "scheme": scheme,
                "detector": name,
                "method": method,
                "params": params,
                "dataset": data.name,
                "normal": ["3"],
                "alpha": alpha,
                "resamplings": RESAMPLINGS,
                "mean_false_alarm_rate": float(found.mean()),
                "standard_error": float(found.std(ddof=1) / math.sqrt(RESAMPLINGS)),
                "versions": versions(),
            }
            append_row(ROWS, row)
            print(f"{scheme:>6} {name:<26} α {alpha:.2f}: {found.mean():.4f}")
        print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
