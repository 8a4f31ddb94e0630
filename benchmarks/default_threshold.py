"""How many new normal images the default threshold of Deep SVDD calls anomalous, by their number.

Run ``python benchmarks/default_threshold.py --data FOLDER`` with mnist.npz in the folder; rows go
to results/default-threshold.jsonl. "training" is the threshold on the training images that was the
default of ``insphere fit`` before, ``contamination=0.05``.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from insphere import DeepSVDD

RESULTS = Path(__file__).parent / "results" / "default-threshold.jsonl"
SIZES, DIGIT = (40, 100, 250), 3


def main() -> None:
    """Measure and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    with np.load(given.data / "mnist.npz", allow_pickle=False) as mnist:
        train = mnist["x_train"][mnist["y_train"] == DIGIT]
        test = mnist["x_test"][mnist["y_test"] == DIGIT]
    rows = [
        measured(train, test, n, seed, rule)
        for seed in range(given.seeds)
        for n in SIZES
        for rule in ("training", "default")
    ]
    RESULTS.write_text("".join(json.dumps(row) + "\n" for row in rows))


def measured(train: np.ndarray, test: np.ndarray, n: int, seed: int, rule: str) -> dict[str, Any]:
    """Fit on n images of the digit and count alarms among its test images."""
    chosen = np.random.default_rng(seed).permutation(len(train))[:n]
    params: dict[str, Any] = {"contamination": 0.05 if rule == "training" else None}
    started = time.perf_counter()
    detector = DeepSVDD(random_state=seed, device="cpu", **params).fit(train[chosen])
    row = {
        "rule": rule,
        "n": n,
        "seed": seed,
        "digit": DIGIT,
        "false_alarm_rate": round(float((detector.predict(test) == -1).mean()), 4),
        "n_test": len(test),
        "threshold_rule": detector.threshold_rule_,
        "fit_seconds": round(time.perf_counter() - started, 1),
    }
    print(row, flush=True)
    return row


if __name__ == "__main__":
    main()
