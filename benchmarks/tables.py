"""Deep SVDD for tables beside its rivals on the sets of ADBench.

Run ``python benchmarks/tables.py --data FOLDER`` with adbench.zip in the folder; rows are appended
to results/tables.jsonl as they come, and what is there is not run again. Protocol: half of the
normal rows train, at most 10,000; the other half and all anomalies are the test, of each at most
10,000, chosen at random. Each seed splits anew. ``pyod-deep-svdd`` needs PyOD (``pip install
pyod``), and runs as PyOD ships it.
"""

from __future__ import annotations

import io
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from insphere.detectors import TableSVDD
from missing_rows import arguments, measure_missing

RESULTS = Path(__file__).parent / "results" / "tables.jsonl"
MOST = 10_000
Score = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def ours(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Score with Deep SVDD for tables as it ships."""
    return TableSVDD(contamination=0.05, random_state=seed).fit(train).anomaly_score(test)


def untrained(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Score with the same, whose encoders stay the identity."""
    return TableSVDD(contamination=0.05, random_state=seed, steps=0).fit(train).anomaly_score(test)


def knn(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Score by the distance to the fifth neighbour, as PyOD and ADBench do, standardised."""
    scaler = StandardScaler().fit(train)
    search = NearestNeighbors(n_neighbors=5).fit(scaler.transform(train))
    return search.kneighbors(scaler.transform(test))[0][:, -1]


def forest(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Score with an isolation forest."""
    return -IsolationForest(random_state=seed).fit(train).score_samples(test)


def pyod(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Score with PyOD's Deep SVDD as it ships."""
    import torch
    from pyod.models.deep_svdd import DeepSVDD

    torch.manual_seed(seed)
    scaler = StandardScaler().fit(train)
    detector = DeepSVDD(n_features=train.shape[1], random_state=seed, verbose=0)
    scores = detector.fit(scaler.transform(train)).decision_function(scaler.transform(test))
    return np.nan_to_num(scores, nan=0.0)


METHODS: dict[str, Score] = {
    "table-svdd": ours,
    "table-svdd-untrained": untrained,
    "knn": knn,
    "isolation-forest": forest,
    "pyod-deep-svdd": pyod,
}


def main() -> None:
    """Measure what is missing."""
    given = arguments(__doc__, list(METHODS), RESULTS)
    with zipfile.ZipFile(given.data / "adbench.zip") as archive:
        files = [name for name in archive.namelist() if name.endswith(".npz")]
        files.sort(key=lambda name: archive.getinfo(name).file_size)
        sets = {Path(name).stem: name for name in files}

        def opened(name: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            with np.load(io.BytesIO(archive.read(sets[name])), allow_pickle=False) as data:
                return split(data["X"].astype(np.float64), data["y"], seed)

        measure_missing(given, sets, opened, measured)


def split(X: np.ndarray, y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return training rows, test rows, and which of these are anomalous."""
    rng = np.random.default_rng(seed)
    normal, odd = rng.permutation(np.flatnonzero(y == 0)), rng.permutation(np.flatnonzero(y == 1))
    half = len(normal) // 2
    test = [normal[half:][:MOST], odd[:MOST]]
    truth = np.repeat([0, 1], [len(part) for part in test])
    return X[normal[:half][:MOST]], X[np.concatenate(test)], truth


def measured(
    title: str, seed: int, method: str, train: np.ndarray, test: np.ndarray, truth: np.ndarray
) -> dict[str, Any]:
    """Fit and score one method."""
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scores = METHODS[method](train, test, seed)
    return {
        "set": title,
        "seed": seed,
        "method": method,
        "auc": round(float(roc_auc_score(truth, scores)), 5),
        "average_precision": round(float(average_precision_score(truth, scores)), 5),
        "seconds": round(time.perf_counter() - started, 2),
        "n_train": len(train),
        "n_test": len(test),
        "columns": train.shape[1],
    }


if __name__ == "__main__":
    main()
