"""How many new normal images the default threshold calls anomalous, by their number.

Run ``python benchmarks/default_threshold.py --data FOLDER`` with mnist.npz in the folder; rows go
to results/default-threshold.jsonl as they come, and finished ones are not repeated. "training" is
the threshold on the training images that was the default before, ``contamination=0.05``.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from insphere.detectors.registry import build_detector

RESULTS = Path(__file__).parent / "results" / "default-threshold.jsonl"
DIGITS = (3, 8)
SHALLOW = ("knn", "kde", "mahalanobis", "oc-svm")
RULES = ("default", "training")


def plan(seeds: int) -> list[tuple[str, int, int, int, str]]:
    """Return what is measured: method, digit, number of images, seed and rule."""
    shallow = [
        (method, digit, n, seed, rule)
        for seed in range(seeds)
        for digit in DIGITS
        for n in (12, 20, 40, 100, 250)
        for method in SHALLOW
        for rule in RULES
    ]
    deep = [("deep-svdd", 3, n, 0, rule) for n in (40, 20, 100, 250) for rule in RULES]
    return shallow + deep + [("dcae", 3, n, 0, rule) for n in (40, 20) for rule in RULES]


def main() -> None:
    """Measure what is missing, and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    names = ("method", "digit", "n", "seed", "rule")
    done = {tuple(json.loads(line)[name] for name in names) for line in lines}
    with np.load(given.data / "mnist.npz", allow_pickle=False) as mnist:
        data = {name: mnist[name] for name in ("x_train", "y_train", "x_test", "y_test")}
    for what in plan(given.seeds):
        if what not in done:
            with RESULTS.open("a") as rows:
                rows.write(json.dumps(measured(data, *what)) + "\n")


def measured(
    data: dict[str, np.ndarray], method: str, digit: int, n: int, seed: int, rule: str
) -> dict[str, Any]:
    """Fit on n images of the digit, and count alarms among the test images."""
    train = data["x_train"][data["y_train"] == digit]
    test, is_other = data["x_test"], data["y_test"] != digit
    if method in ("deep-svdd", "dcae"):
        test, is_other = test[:4000], is_other[:4000]
    chosen = np.random.default_rng([digit, seed]).permutation(len(train))[:n]
    params: dict[str, Any] = {"contamination": 0.05} if rule == "training" else {}
    if method == "deep-svdd":
        params["recipe"] = "fast"
    started = time.perf_counter()
    detector = build_detector(method, params, seed=seed, device="cpu").fit(train[chosen])
    seconds = time.perf_counter() - started
    scores = detector.anomaly_score(test)
    row = {
        "method": method,
        "rule": rule,
        "n": n,
        "seed": seed,
        "digit": digit,
        "wanted": detector.false_alarm_rate_,
        "false_alarm_rate": round(float((scores > detector.threshold_)[~is_other].mean()), 4),
        "detected": round(float((scores > detector.threshold_)[is_other].mean()), 4),
        "auc": round(float(roc_auc_score(is_other, scores)), 4),
        "n_test": int((~is_other).sum()),
        "threshold_rule": detector.threshold_rule_,
        "fit_seconds": round(seconds, 1),
    }
    print(row, flush=True)
    return row


if __name__ == "__main__":
    main()
