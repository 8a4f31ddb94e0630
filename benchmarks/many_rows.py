"""Time and memory of every detector by the number of training rows.

``python benchmarks/many_rows.py --rows 1000 10000 100000 --seconds 120``

Rows are MNIST digits 0 to 4, turned and shifted at random to be as many as wanted, of 28×28 pixels.
Each detector is fitted in a process of its own with one thread, and scores 2,000 others, of which
those from 5 on are anomalous. A method that needed longer than ``--seconds`` for a size is not
tried on the next. One that takes more than ``--most-seconds`` of processor time, or more than
``--most-gb`` of memory, is ended, and its row says so. Networks train one epoch, which is what
grows with the number of rows. Rows go to results/many_rows.jsonl; sizes that are there already are
skipped.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import affine_transform

from insphere.detectors.registry import build_detector
from insphere.scoring.metrics import evaluate_scores
from machine import machine

RESULTS = Path(__file__).parent / "results" / "many_rows.jsonl"
OUT_OF_MEMORY = ("MemoryError", "not enough memory", "can't allocate memory", "bad_alloc")
FEW = {"epochs": 1}
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "knn": ("knn", {}),
    "knn, FAISS": ("knn", {"search": "faiss"}),
    "knn, all rows": ("knn", {"exact_rows": 1 << 40}),
    "kde": ("kde", {}),
    "oc-svm": ("oc-svm", {}),
    "oc-svm, exact": ("oc-svm", {"exact_rows": 1 << 40}),
    "isolation-forest": ("isolation-forest", {}),
    "mahalanobis": ("mahalanobis", {}),
    "deep-svdd": ("deep-svdd", FEW | {"recipe": "fast", "pretrain_epochs": 1}),
    "fcdd": ("fcdd", FEW),
    "dcae": ("dcae", FEW),
    "untrained": ("untrained", {"recipe": "fast"}),
}


def digits(n: int, seed: int, kinds: range) -> tuple[np.ndarray, np.ndarray]:
    """Return digits of some kinds, the first ones as they are and all others moved."""
    with np.load(Path(os.environ["INSPHERE_DATA"]) / "mnist.npz") as found:
        part = "train" if seed == 0 else "test"
        images, labels = found[f"x_{part}"], found[f"y_{part}"]
    wanted = np.flatnonzero(np.isin(labels, list(kinds)))
    chance = np.random.default_rng(seed)
    out = np.empty((n, 28, 28, 1), np.uint8)
    chosen = wanted[np.arange(n) % len(wanted)]
    out[..., 0] = images[chosen]
    for row in range(len(wanted), n):
        turn = chance.normal(scale=0.15)
        cos, sin = np.cos(turn), np.sin(turn)
        matrix = np.array([[cos, -sin], [sin, cos]]) * chance.uniform(0.9, 1.1)
        offset = 13.5 - matrix @ np.array([13.5, 13.5]) + chance.normal(size=2)
        out[row, ..., 0] = affine_transform(out[row, ..., 0], matrix, offset, order=1)
    return out, labels[chosen]


def one(name: str, file: str) -> dict[str, Any]:
    """Fit one detector to the images in a file, and return what it took."""
    key, params = METHODS[name]
    train = np.load(file)
    new, kinds = digits(2000, 1, range(10))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    detector = build_detector(key, params | {"false_alarm_rate": 0.05}, seed=0)
    began, used = time.perf_counter(), time.process_time()
    detector.fit(train)
    fitted, cpu = time.perf_counter() - began, time.process_time() - used
    began = time.perf_counter()
    scores = detector.anomaly_score(new)
    scored = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "fit_seconds": round(fitted, 2),
        "fit_cpu_seconds": round(cpu, 2),
        "score_ms_each": round(1000 * scored / len(new), 3),
        "memory_grew_mb": round((after - before) / 1000, 1),
        "auc": round(float(evaluate_scores(kinds >= 5, scores).auc), 4),
        "approximation": getattr(detector, "approximation_", None),
    }


def ended(name: str, file: Path, seconds: int, gigabytes: float) -> dict[str, Any]:
    """Return the row of one detector in a process of its own, or what it was ended for."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
        resource.setrlimit(resource.RLIMIT_DATA, (int(gigabytes * 1e9),) * 2)

    command = [sys.executable, __file__, "--one", name, str(file)]
    answer = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit)
    if not answer.returncode:
        found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
        return found
    nothing = {"fit_cpu_seconds": None}
    if answer.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return nothing | {"given_up_after": seconds}
    if any(word in answer.stderr for word in OUT_OF_MEMORY):
        return nothing | {"more_gb_than": gigabytes}
    raise RuntimeError(answer.stderr[-500:])


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--most-seconds", type=int, default=600)
    parser.add_argument("--most-gb", type=float, default=8)
    parser.add_argument("--one", nargs=2, metavar=("METHOD", "FILE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one(given.one[0], given.one[1])))
        return
    text = RESULTS.read_text("utf-8") if RESULTS.exists() else ""
    done = {(row["method"], row["rows"]): row for row in map(json.loads, text.splitlines())}

    def wanted(name: str, n: int) -> bool:
        earlier = [row["fit_cpu_seconds"] for (method, _), row in done.items() if method == name]
        return (name, n) not in done and not any(
            used is None or used > given.seconds for used in earlier
        )

    for n in given.rows:
        if not any(wanted(name, n) for name in given.methods):
            continue
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "images.npy"
            np.save(file, digits(n, 0, range(5))[0])
            for name in given.methods:
                if not wanted(name, n):
                    continue
                row = {"method": name, "rows": n}
                row |= ended(name, file, given.most_seconds, given.most_gb)
                row |= {"load": round(os.getloadavg()[0], 1), "machine": machine("faiss-cpu")}
                done[name, n] = row
                with RESULTS.open("a", encoding="utf-8") as out:
                    out.write(json.dumps(row) + "\n")
                print({key: value for key, value in row.items() if key != "machine"}, flush=True)


if __name__ == "__main__":
    main()
