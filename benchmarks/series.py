"""Deep SVDD for series beside simple controls on NAB and two electrocardiograms.

Run ``python benchmarks/series.py --data FOLDER`` with nab.zip and ecg.zip in the folder; rows are
appended to results/series.jsonl as they come, and what is there is not run again. The first 15 % of
a series is trained on (of NAB at most 750 points, as NAB does), without its labelled points; all
later points are the test. Windows are as long for the controls as for Deep SVDD. The score of a
window counts at its last point ("end") or in its middle ("middle"). There is no point adjustment.
With ``--points 60000`` only the beginning of the electrocardiograms is taken.
For NAB's own score, the raw scores at several shares of points that raise an alarm are kept: one
share is later taken for all series of NAB, as NAB takes one threshold, the best for each method.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import time
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score
from sklearn.neighbors import NearestNeighbors

from insphere.detectors import SeriesSVDD
from insphere.experiments.store.jsonl_rows import append_row, read_rows
from insphere.modalities.series import Series, TimeSeries
from insphere.scoring.nab import PROFILES, nab_raw, nab_scale
from insphere.scoring.range_auc import vus_pr
from insphere.versions import versions
from series_blocks import ALL_POINTS

RESULTS = Path(__file__).parent / "results" / "series.jsonl"
SHARE, MOST_NAB, STORED = 0.15, 750, 4000
ALARMS = tuple(np.round(np.geomspace(3e-4, 0.2, 25), 6).tolist())
"""Shares of points that raise an alarm, for NAB's own score."""


METHODS = ("series-svdd", "sub-pca", "sub-knn", "moving median", "random")
WINDOWED = METHODS[:3]  # whose windows may count in their middle


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument(
        "--points", type=int, help="take the first points of each electrocardiogram (default all)"
    )
    given = parser.parse_args()
    done = {(row["series"], row["method"]) for row in read_rows(given.out)}
    for name, values, labels, n_train in sorted(
        all_series(given.data, given.points), key=lambda one: one[0].endswith(".csv")
    ):  # the electrocardiograms first
        missing = [method for method in given.methods if (name, method) not in done]
        if not missing or not labels[n_train:].any():
            continue
        for row in measured(name, values, labels, n_train, missing):
            append_row(given.out, row)
            print(row["series"], row["method"], row["place"], row["vus_pr"], flush=True)


def all_series(
    folder: Path, most: int | None = None
) -> Iterator[tuple[str, np.ndarray, np.ndarray, int]]:
    """Yield name, values, labels and the number of points to train on."""
    with zipfile.ZipFile(folder / "nab.zip") as archive:
        windows = json.loads(archive.read("nab/combined_windows.json"))
        for name in sorted(n for n in archive.namelist() if n.endswith(".csv")):
            rows = list(csv.reader(io.StringIO(archive.read(name).decode())))[1:]
            values = np.array([float(row[1]) for row in rows])
            times = np.array([datetime.fromisoformat(row[0]).timestamp() for row in rows])
            labels = np.zeros(len(values), np.int64)
            short = name.removeprefix("nab/data/")
            for pair in windows[short]:
                start, end = (datetime.fromisoformat(stamp).timestamp() for stamp in pair)
                labels[(times >= start) & (times <= end)] = 1
            yield short, values, labels, min(int(SHARE * len(values)), MOST_NAB)
    with zipfile.ZipFile(folder / "ecg.zip") as archive:
        for name in sorted(n for n in archive.namelist() if n.endswith(".npz")):
            with np.load(io.BytesIO(archive.read(name)), allow_pickle=False) as data:
                values = data["values"].astype(np.float64).ravel()[:most]
                labels = data["labels"].astype(np.int64).ravel()[:most]
            whole = ALL_POINTS if most is None else ""
            yield name + whole, values, labels, int(SHARE * len(values))


def measured(
    name: str, values: np.ndarray, labels: np.ndarray, n_train: int, methods: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Fit and score methods on one series."""
    series, normal = TimeSeries(values), np.flatnonzero(labels[:n_train] == 0)
    truth = labels[n_train:]
    detector = SeriesSVDD(random_state=0)
    train, kind = Series.learned(series.take(normal), detector)
    every = kind.new(series, detector)[:, 0]
    window = every.shape[1]
    for method in methods:
        started = time.perf_counter()
        if method == "series-svdd":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = detector.fit(series.take(normal)).anomaly_score(series)
        elif method == "moving median":
            found = np.abs(values - np.median(every, axis=1))
        elif method == "random":
            found = np.random.default_rng(0).random(len(values))
        else:
            found = {"sub-pca": sub_pca, "sub-knn": sub_knn}[method](train[:, 0], every)
        seconds = time.perf_counter() - started
        for place in ("end", "middle") if method in WINDOWED else ("end",):
            moved = np.roll(found, -(window // 2)) if place == "middle" else found
            if place == "middle" and window > 1:
                moved[-(window // 2) :] = found[-1]
            test = moved[n_train:]
            yield {
                "series": name,
                "method": method,
                "place": place,
                "vus_pr": round(vus_pr(truth, test, window), 5),
                "auc_pr": round(float(average_precision_score(truth, test)), 5),
                "seconds": round(seconds if method in WINDOWED else 0.0, 2),
                "window": window,
                "n_train": len(normal),
                "n_test": len(truth),
                **({"views": list(detector.views_)} if method == "series-svdd" else {}),
                "versions": versions(),
                **({"nab": nab_rows(truth, test)} if name.endswith(".csv") else {}),
            }


def nab_rows(truth: np.ndarray, scores: np.ndarray) -> dict[str, list[float]]:
    """Return raw scores by profile: without alarms, perfect, and at each share of `ALARMS`."""
    order = np.argsort(-scores, kind="stable")
    found: dict[str, list[float]] = {}
    for name, profile in PROFILES.items():
        raw = []
        for share in ALARMS:
            flagged = np.zeros(len(truth), bool)
            flagged[order[: max(1, round(share * len(truth)))]] = True
            raw.append(round(nab_raw(truth, flagged, profile), 4))
        found[name] = [*nab_scale(truth, profile), *raw]
    return found


def sub_pca(train: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Score by the Mahalanobis distance of windows in principal components of the normal ones."""
    mean = train.mean(axis=0)
    _, sizes, axes = np.linalg.svd(train - mean, full_matrices=False)
    variances = sizes**2 / len(train)
    least = 1e-3 * variances[0] + 1e-12
    return (((windows - mean) @ axes.T) ** 2 / (variances + least)).sum(axis=1)


def sub_knn(train: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Score by the mean distance to the five nearest normal windows, of at most 4,000."""
    kept = np.random.default_rng(0).permutation(len(train))[:STORED]
    search = NearestNeighbors(n_neighbors=5).fit(train[kept])
    return search.kneighbors(windows)[0].mean(axis=1)


if __name__ == "__main__":
    main()
